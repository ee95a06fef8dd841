# ruff: noqa: E501  (markup is read by the line)
"""Charts of the report as HTML without scripts: bars, intervals and rows of pictures."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from inficond.core.evaluation.subsets import SUBSETS
from inficond.core.report.wording import figure, signed

if TYPE_CHECKING:
    from inficond.core.report.pictures import ReportPictures

_WORDS = {
    "agree-pos": "both say yes",
    "agree-neg": "both say no",
    "missed": "missed by the student",
    "extra": "extra yes of the student",
}


def gauge(interval: Mapping[str, Any], mark: float | None, name: str) -> str:
    """Return a bar from 0 to 1, with the interval as a line and the random-concept baseline as a tick."""
    value, low, high = interval["value"], interval["low"], interval["high"]
    if value is None:
        return f'<div class="gauge" role="img" aria-label="{escape(name)}: undefined"></div>'
    text = f"{name} {figure(value)}"
    parts = [f'<b style="width:{100 * value:.1f}%"></b>']
    if low is not None:
        parts.append(f'<i style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>')
        text += f", 95 % interval {figure(low)} to {figure(high)}"
    if mark is not None:
        parts.append(f'<u style="left:{100 * mark:.1f}%"></u>')
        text += f", random directions {figure(mark)}"
    return f'<div class="gauge" role="img" aria-label="{escape(text)}" title="{escape(text)}">{"".join(parts)}</div>'


def stack(counts: Mapping[str, int]) -> str:
    """Return the four subsets as one bar, with square roots of the counts as widths."""
    text = ", ".join(f"{counts.get(name, 0):,} {_WORDS[name]}" for name in SUBSETS)
    parts = "".join(
        f'<b class="{name}" style="flex:{counts[name] ** 0.5:.2f}"></b>'
        for name in SUBSETS
        if counts.get(name)
    )
    return f'<div class="stack" role="img" aria-label="{escape(text)}" title="{escape(text)}">{parts}</div>'


def legend() -> str:
    """Return the legend of `gauge` and `stack`."""
    squares = "".join(f'<span><b class="{name}"></b>{_WORDS[name]}</span>' for name in SUBSETS)
    return (
        '<div class="legend"><span><b class="bar"></b>words</span><span><b class="whisker"></b>95 % interval</span>'
        f'<span><b class="tick"></b>random directions</span>{squares}'
        "<span>(widths of the last column: square roots of the counts)</span></div>"
    )


def diverging(weight: float, largest: float) -> str:
    """Return a bar to the right for a positive weight and to the left for a negative one."""
    share = 50 * abs(weight) / largest if largest else 0.0
    side = "for" if weight > 0 else "against"
    return f'<div class="diverge" role="img" aria-label="weight {signed(weight)}"><b class="{side}" style="width:{share:.1f}%"></b></div>'  # fmt: skip


def strip(images: Sequence[Mapping[str, Any]], pictures: "ReportPictures | None") -> str:
    """Return a row of pictures with the probabilities of teacher and student."""
    items = []
    for one in images:
        alt = escape(f"{one['image']}: teacher {one['teacher']:.2f}, student {one['student']:.2f}")
        uri = "" if pictures is None else pictures.image(one["row"])
        picture = f'<img src="{uri}" alt="{alt}" loading="lazy">' if uri else '<span class="none"></span>'
        items.append(
            f'<li data-image="{escape(one["image"])}" title="{alt}">{picture}'
            f"<small>T {one['teacher']:.2f} · S {one['student']:.2f}</small></li>"
        )
    return f'<ul class="strip">{"".join(items)}</ul>'
