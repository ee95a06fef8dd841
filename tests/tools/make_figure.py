# ruff: noqa: E501  (a drawing: marks are kept on their lines)
"""The figure “how it works” in light and dark: `python -m tests.tools.make_figure`.

The words and weights in it are those of the demo's student of *water bird*, read from the project.
"""

import sys
from pathlib import Path

from inficond.core import Project
from inficond.core.demo import demo_project

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
CLASS = "water bird"
PALETTES = {
    "light": {"ink": "#17202b", "soft": "#566374", "line": "#8b98a8", "card": "#f3f6fa", "edge": "#cfd8e3",
              "blue": "#2867c7", "orange": "#b85c14", "fill": "#dbe7fb"},
    "dark": {"ink": "#e8edf3", "soft": "#9fb0c3", "line": "#74879c", "card": "#161d26", "edge": "#344252",
             "blue": "#5b9cf5", "orange": "#ef9050", "fill": "#1f3457"},
}  # fmt: skip
WIDTH, HEIGHT = 1120, 348


def text(x: float, y: float, say: str, colour: str, size: float = 14, more: str = "") -> str:
    """Return a line of text."""
    return f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}" {more}>{say}</text>'


def card(x: float, y: float, w: float, h: float, title: str, p: dict[str, str]) -> str:
    """Return a box with a title."""
    return (
        f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="10" fill="{p["card"]}" stroke="{p["edge"]}"/>'
        + text(x + 14, y + 26, title, p["ink"], 15, 'font-weight="600"')
    )


def arrow(path: str, p: dict[str, str], both: bool = False) -> str:
    """Return a line with an arrowhead at its end, or at both ends."""
    start = ' marker-start="url(#head)"' if both else ""
    return (
        f'<path d="{path}" fill="none" stroke="{p["line"]}" stroke-width="2" marker-end="url(#head)"{start}/>'
    )


def bars(x: float, y: float, words: list[tuple[str, float]], p: dict[str, str]) -> str:
    """Return bars of words with signed weights, as the page draws them."""
    parts, most, middle = [], max(abs(w) for _, w in words), x + 118
    for k, (word, weight) in enumerate(words):
        at, long = y + 24 * k, 52 * abs(weight) / most
        left = middle if weight > 0 else middle - long
        colour = p["blue" if weight > 0 else "orange"]
        parts.append(text(x, at + 11, word, p["ink"], 13))
        parts.append(f'<rect x="{left:.1f}" y="{at}" width="{long:.1f}" height="13" rx="3" fill="{colour}"/>')
        label = f"{weight:+.2f}".replace("-", "−")
        parts.append(text(x + 216, at + 11, label, p["ink"], 12.5, 'text-anchor="end"'))
    parts.append(f'<path d="M{middle} {y - 5}v{24 * len(words)}" stroke="{p["line"]}" stroke-width="1"/>')
    return "".join(parts)


def scene(x: float, y: float, p: dict[str, str]) -> str:
    """Return a bird on water, divided into regions."""
    return (
        f'<g transform="translate({x} {y})"><rect width="112" height="84" rx="6" fill="{p["fill"]}"/>'
        f'<path d="M0 50h112v28a6 6 0 0 1-6 6H6a6 6 0 0 1-6-6z" fill="{p["blue"]}" opacity=".45"/>'
        f'<path d="M34 50c0 12 12 14 26 14 18 0 24-8 24-16-6 4-14 2-18-2-4-5-2-12-2-18 0-8-12-10-16-4l-8 5 9 2c2 6-15 7-15 19z" fill="{p["ink"]}"/>'
        f'<g fill="none" stroke="{p["orange"]}" stroke-width="1.6" stroke-dasharray="4 3"><rect x="30" y="14" width="58" height="53" rx="4"/>'
        f'<rect x="3" y="54" width="24" height="26" rx="4"/><rect x="91" y="54" width="18" height="26" rx="4"/></g></g>'
    )


def draw(p: dict[str, str], words: list[tuple[str, float]]) -> str:
    """Return the figure."""
    s = p["soft"]
    body = [
        card(8, 100, 150, 160, "Photographs", p), scene(27, 142, p),
        text(26, 248, "cut into regions", s, 13),
        card(206, 8, 262, 92, "Teacher", p),
        text(220, 58, "any classifier: ONNX, Hugging Face,", s, 13), text(220, 77, "or a table of its answers", s, 13),
        card(206, 124, 262, 136, "Encoder: pictures and words", p),
        text(220, 174, "CLIP, SigLIP … or the embedded one", s, 13),
        text(220, 200, "value of a word in a picture =", s, 13),
        text(220, 219, "cosine of its closest region;", s, 13),
        text(220, 238, "that region is the evidence", s, 13),
        card(540, 56, 256, 204, f"Student of “{CLASS}”", p), bars(556, 100, words, p),
        text(554, 246, "sparse, with a certified gap", s, 13),
        card(868, 56, 244, 96, "A person", p),
        text(882, 106, "sees where and why it fails,", s, 13), text(882, 125, "pulls words up or down", s, 13),
        card(868, 176, 244, 84, "One ONNX file", p),
        text(882, 226, "pixels in, probabilities out", s, 13),
        arrow("M158 150C184 150 176 54 200 54", p), arrow("M158 190H200", p),
        arrow("M468 54C508 54 496 120 534 120", p), arrow("M468 190H534", p),
        arrow("M802 104H862", p, both=True), arrow("M796 218H862", p),
        text(474, 44, "targets", s, 12.5), text(474, 210, "concept", s, 12.5), text(474, 226, "vectors", s, 12.5),
        text(803, 92, "preview", s, 12.5),
        f'<rect x="206" y="288" width="906" height="46" rx="10" fill="none" stroke="{p["edge"]}" stroke-dasharray="5 4"/>',
        text(222, 316, "Every step is a node in a tree: undo, branch, compare, replay on other photographs.", p["ink"], 14),
        text(1096, 316, "measured on images no fit has seen", s, 13, 'text-anchor="end"'),
    ]  # fmt: skip
    head = (
        '<defs><marker id="head" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{p["line"]}"/></marker></defs>'
    )
    about = "A teacher and an encoder look at photographs; a sparse student is fitted; a person corrects it."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{about}" '
        'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif">'
        f"{head}{''.join(body)}</svg>\n"
    )


def main() -> int:
    """Write the figure in both themes."""
    project = Project.open(demo_project())
    students = project.students
    weights = students.weights[list(students.classes).index(CLASS)]
    largest = sorted(range(len(weights)), key=lambda k: -abs(weights[k]))[:5]
    words = [(students.concepts[k], float(weights[k])) for k in largest]
    for theme, palette in PALETTES.items():
        (PICTURES / f"how-{theme}.svg").write_text(draw(palette, words), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
