"""Plot of the benchmark of correction as SVG: one row per shortcut, one mark per method."""

from collections.abc import Mapping
from html import escape
from typing import Any

COLOURS = ("#8a8f98", "#c08a2e", "#0b6b57", "#b9bec6", "#3d5a98", "#8d4f9f")
WIDTH, LEFT, ROW, TOP = 760, 120, 92, 44


def plot(result: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the plot of the benchmark's result.

    Parameters
    ----------
    result : mapping
        Shortcut -> method -> ``mean``, ``low``, ``high``.
    """
    methods = list(next(iter(result.values())))
    height = TOP + ROW * len(result) + 40
    scale = (WIDTH - LEFT - 24) / 100

    def x(share: float) -> float:
        return LEFT + scale * 100 * min(1.0, max(0.0, share))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for i, (name, colour) in enumerate(zip(methods, COLOURS)):
        at = 12 + 124 * i
        parts.append(f'<circle cx="{at}" cy="18" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{at + 9}" y="22" fill="#222">{escape(name)}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path d="M{x(share):.1f} {TOP}V{height - 36}" stroke="#e2e4e8"/>')
        parts.append(
            f'<text x="{x(share):.1f}" y="{height - 18}" text-anchor="middle" fill="#555">'
            f"{100 * share:.0f} %</text>"
        )
    for row, (kind, table) in enumerate(result.items()):
        top = TOP + ROW * row
        parts.append(f'<text x="8" y="{top + ROW / 2 + 4}" fill="#222">{escape(kind)}</text>')
        for i, (name, colour) in enumerate(zip(methods, COLOURS)):
            y, one = top + 12 + 13 * i, table[name]
            if one["low"] == one["low"]:  # NaN with one seed
                parts.append(
                    f'<path d="M{x(one["low"]):.1f} {y}H{x(one["high"]):.1f}" stroke="{colour}" '
                    'stroke-width="2"/>'
                )
            parts.append(
                f'<circle cx="{x(one["mean"]):.1f}" cy="{y}" r="5" fill="{colour}">'
                f"<title>{escape(kind)}, {escape(name)}: {100 * one['mean']:.0f} %</title></circle>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"
