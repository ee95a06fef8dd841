"""Figures of the gallery as HTML: bars of weights, tables, pictures with evidence, intervals."""

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from inficond.core import Project
from inficond.core.sessions.session import Session

STYLE = """
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #17202b; width: 900px; font: 15px/1.4 "DejaVu Sans", sans-serif; }
#figure { padding: 20px 24px; }
h1 { font-size: 20px; margin: 0 0 4px; }
h2 { font-size: 15px; margin: 0 0 8px; }
p { margin: 2px 0 10px; color: #4a5766; }
.row { display: flex; gap: 22px; margin-top: 12px; }
.row > * { flex: 1; min-width: 0; }
.strip { display: flex; gap: 8px; }
.strip figure { margin: 0; flex: 1; }
.strip img { width: 100%; border-radius: 6px; display: block; }
figcaption { font-size: 12.5px; color: #4a5766; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: right; font-weight: 600; padding: 4px 6px; }
td { text-align: right; padding: 4px 6px; border-top: 1px solid #e3e8ee; }
td:first-child, th:first-child { text-align: left; }
td.hit { background: #d8e9fb; }
td.miss { background: #fde3cf; }
.bars { display: grid; grid-template-columns: max-content 1fr 52px; gap: 3px 8px; align-items: center; }
.bars { font-size: 13.5px; }
.bars .track { position: relative; height: 13px; background: #f1f4f7; border-radius: 3px; }
.bars i { position: absolute; top: 0; bottom: 0; border-radius: 3px; }
.bars b { font-weight: 400; text-align: right; }
.up { background: #2c7be5; }
.down { background: #e07a2f; }
.range { position: relative; height: 24px; }
.range s { position: absolute; top: 11px; height: 3px; border-radius: 2px; }
.range u { position: absolute; top: 6px; width: 12px; height: 12px; border-radius: 50%; margin-left: -6px; }
.zero { position: absolute; top: 0; bottom: 0; width: 1px; background: #9aa7b4; }
"""
SIDE = 208
"""Pixels of a picture in a strip."""


def page(title: str, about: str, *blocks: str) -> str:
    """Return a document with one figure."""
    head = f"<h1>{html.escape(title)}</h1><p>{html.escape(about)}</p>"
    body = "".join(blocks)
    return f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style><div id="figure">{head}{body}</div>'


def row(*blocks: str, first: int = 0) -> str:
    """Return blocks side by side; the first one has a width of `first` pixels if that is above 0."""
    widths = [f' style="flex: 0 0 {first}px"' if first and n == 0 else "" for n in range(len(blocks))]
    parts = "".join(f"<div{width}>{block}</div>" for width, block in zip(widths, blocks))
    return f'<div class="row">{parts}</div>'


def heading(text: str) -> str:
    """Return a heading of a block."""
    return f"<h2>{html.escape(text)}</h2>"


def largest_weight(lists: Iterable[Sequence[tuple[str, float]]]) -> float:
    """Return the largest absolute weight of several lists, which are drawn on one scale."""
    return max(abs(value) for weights in lists for _, value in weights)


def bars(weights: Sequence[tuple[str, float]], largest: float | None = None) -> str:
    """Return signed bars: positive to the right in blue, negative to the left in orange, with the number."""
    most = largest or max((abs(value) for _, value in weights), default=1) or 1
    lines = []
    for name, value in weights:
        share = 50 * abs(value) / most
        left = 50 if value >= 0 else 50 - share
        kind = "up" if value >= 0 else "down"
        number = f"{value:+.2f}".replace("-", "−")
        lines.append(
            f'<span>{html.escape(name)}</span><span class="track"><i class="{kind}" '
            f'style="left:{left:.1f}%;width:{share:.1f}%"></i></span><b>{number}</b>'
        )
    return f'<div class="bars">{"".join(lines)}</div>'


def table(
    header: Sequence[str], lines: Sequence[Sequence[object]], marks: Sequence[Sequence[str]] = ()
) -> str:
    """Return a table; `marks` has a CSS class for each cell."""
    top = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
    body = ""
    for r, line in enumerate(lines):
        cells = [
            f'<td class="{marks[r][c] if marks else ""}">{html.escape(str(cell))}</td>'
            for c, cell in enumerate(line)
        ]
        body += f"<tr>{''.join(cells)}</tr>"
    return f"<table><tr>{top}</tr>{body}</table>"


def picture(project: Project, image: int, session: Session | None = None, concept: str = "") -> str:
    """Return a picture as an address; with a concept, all but its evidence is darkened."""
    seen = Image.open(io.BytesIO(project.thumbnail_bytes(image))).convert("RGB").resize((SIDE, SIDE))
    if session is not None:
        mask = Image.fromarray(session.evidence(image, concept).mask.astype(np.uint8) * 255)
        seen = Image.composite(
            seen, seen.point([value // 3 for value in range(256)] * 3), mask.resize(seen.size)
        )
    content = io.BytesIO()
    seen.save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def strip(pictures: Sequence[tuple[str, str]]) -> str:
    """Return pictures (address, caption) in a row."""
    return '<div class="strip">' + "".join(
        f'<figure><img src="{source}"><figcaption>{html.escape(caption)}</figcaption></figure>'
        for source, caption in pictures
    ) + "</div>"  # fmt: skip


def interval(low: float, value: float, high: float, ends: tuple[float, float], kind: str = "up") -> str:
    """Return a value with its interval on an axis from `ends[0]` to `ends[1]`, with a line at 0."""

    def at(x: float) -> float:
        return 100 * (min(max(x, ends[0]), ends[1]) - ends[0]) / (ends[1] - ends[0])

    return (
        f'<div class="range"><span class="zero" style="left:{at(0):.1f}%"></span>'
        f'<s class="{kind}" style="left:{at(low):.1f}%;width:{at(high) - at(low):.1f}%"></s>'
        f'<u class="{kind}" style="left:{at(value):.1f}%"></u></div>'
    )
