"""Figures of the model card as a Markdown table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, system_reason

ROWS = (
    ("coco", "map", "COCO, which pictures: mAP", 0.47),
    ("coco", "map_things", "… things", None),
    ("coco", "map_stuff", "… stuff", None),
    ("coco", "cell_auc_things", "COCO, which cells: AUC, things", 0.66),
    ("coco", "cell_auc_stuff", "COCO, which cells: AUC, stuff", 0.70),
    ("scenes", "map", "scenes, zero-shot mAP", 0.70),
    ("flickr8k", "caption_to_image_r1", "Flickr8k, caption finds picture, R@1", 0.19),
    ("flickr8k", "caption_to_image_r10", "Flickr8k, caption finds picture, R@10", None),
    ("flickr8k", "image_to_caption_r1", "Flickr8k, picture finds a caption of its own, R@1", None),
    ("teacher", "top1", "teacher, top-1 on the ImageNet sample", None),
)


def write_figures(figures: dict[str, Any]) -> str:
    """Return a Markdown table of measured figures with their targets; "–" where no picture has a label.

    Parameters
    ----------
    figures : dict
        As `measure` returns.
    """
    lines = ["| measured | figure | target | pictures |", "|---|---|---|---|"]
    for part, key, what, aim in ROWS:
        value, pictures = figures[part][key], figures[part]["images"]
        missed = value is None or (aim is not None and value < aim)
        reached = "" if aim is None else f"≥ {aim:.2f}" + (", **not reached**" if missed else "")
        lines.append(f"| {what} | {_figure(value)} | {reached} | {pictures} |")
    lines.append("")
    labels, chance = figures["coco"]["labels"], _figure(figures["coco"]["map_chance"])
    lines.append(f"COCO: {labels} labels; chance mAP {chance}.")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def update_card(card: Path, figures: dict[str, Any]) -> None:
    """Write the figures between the markers of a card.

    Raises
    ------
    InputError
        The card cannot be read or lacks the markers.
    """
    before, after = split_card(card)
    card.write_text(f"{before}{BEGIN}\n{write_figures(figures)}\n{END}{after}", "utf-8")


def split_card(card: Path) -> tuple[str, str]:
    """Return the text before and after the figures of a card.

    Raises
    ------
    InputError
        The card cannot be read or lacks the markers.
    """
    try:
        text = card.read_text("utf-8")
    except OSError as error:
        raise InputError(f"cannot read {card}: {system_reason(error)}") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{card} lacks the markers {BEGIN} and {END}")
    return before, after
