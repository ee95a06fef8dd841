# ruff: noqa: E501  (markup is read by the line)
"""Small drawings of the page: bars, whiskers and strips of pictures, as HTML without script."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from inficond.core.evaluation.subsets import SUBSETS
from inficond.core.report.wording import figure, signed

if TYPE_CHECKING:
    from inficond.core.report.pictures import Pictures

_WORDS = {
    "agree-pos": "both say yes",
    "agree-neg": "both say no",
    "missed": "missed by the student",
    "extra": "extra yes of the student",
}


def gauge(interval: Mapping[str, Any], mark: float | None, what: str) -> str:
    """A bar from 0 to 1 with its interval as a line and the random-concept row as a tick."""
    value, low, high = interval["value"], interval["low"], interval["high"]
    if value is None:
        return f'<div class="gauge" role="img" aria-label="{escape(what)}: undefined"></div>'
    said = f"{what} {figure(value)}"
    parts = [f'<b style="width:{100 * value:.1f}%"></b>']
    if low is not None:
        parts.append(f'<i style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>')
        said += f", 95 % interval {figure(low)} to {figure(high)}"
    if mark is not None:
        parts.append(f'<u style="left:{100 * mark:.1f}%"></u>')
        said += f", random directions {figure(mark)}"
    return f'<div class="gauge" role="img" aria-label="{escape(said)}" title="{escape(said)}">{"".join(parts)}</div>'


def stack(counts: Mapping[str, int]) -> str:
    """The four subsets as one bar. Widths are square roots: the misaligned few stay visible beside the rest."""
    said = ", ".join(f"{counts.get(name, 0):,} {_WORDS[name]}" for name in SUBSETS)
    parts = "".join(
        f'<b class="{name}" style="flex:{counts[name] ** 0.5:.2f}"></b>'
        for name in SUBSETS
        if counts.get(name)
    )
    return f'<div class="stack" role="img" aria-label="{escape(said)}" title="{escape(said)}">{parts}</div>'


def legend() -> str:
    """What the colours of `gauge` and `stack` mean."""
    squares = "".join(f'<span><b class="{name}"></b>{_WORDS[name]}</span>' for name in SUBSETS)
    return (
        '<div class="legend"><span><b class="bar"></b>words</span><span><b class="whisker"></b>95 % interval</span>'
        f'<span><b class="tick"></b>random directions</span>{squares}'
        "<span>(widths of the last column: square roots of the counts)</span></div>"
    )


def diverging(weight: float, largest: float) -> str:
    """A bar to the right for a positive weight, to the left for a negative one."""
    share = 50 * abs(weight) / largest if largest else 0.0
    side = "for" if weight > 0 else "against"
    return f'<div class="diverge" role="img" aria-label="weight {signed(weight)}"><b class="{side}" style="width:{share:.1f}%"></b></div>'  # fmt: skip


def strip(images: Sequence[Mapping[str, Any]], pictures: "Pictures | None") -> str:
    """Pictures side by side, each with what teacher and student say."""
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
