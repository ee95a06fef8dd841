"""The theme, style sheets and shared scripts of the page."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from inficond.gradio_app.views import all_views

if TYPE_CHECKING:
    import gradio as gr

BROWSER = Path(__file__).parent / "browser"
SCRIPTS = ("dom.js", "ui.js", "chart.js", "selection.js", "guide.js", "shell.js")
"""Scripts that all views share, in the order in which they are loaded, before any view."""


def theme() -> "gr.themes.Base":
    """Return a Gradio theme that uses system fonts only, so that the page loads nothing from other hosts."""
    import gradio as gr

    fonts = ["ui-sans-serif", "system-ui", "sans-serif"]
    return gr.themes.Base(font=fonts, font_mono=["ui-monospace", "Consolas", "monospace"])


def stylesheet() -> str:
    """Return the style sheets of the page and of the views; Gradio scopes them to its container."""
    sheets = [(BROWSER / "page.css").read_text(encoding="utf-8")]
    sheets += [view.css for view in all_views()]
    return minify("\n".join(sheets))


def minify(source: str) -> str:
    """Remove indentation, empty lines and comments that fill whole lines from a script or a style sheet.

    This is safe without a parser because the scripts contain no string that spans several lines.
    """
    source = re.sub(r"^[ \t]*/\*.*?\*/[ \t]*$", "", source, flags=re.MULTILINE | re.DOTALL)
    source = re.sub(r"^[ \t]*//.*$", "", source, flags=re.MULTILINE)
    return "\n".join(line.strip() for line in source.splitlines() if line.strip())


def head_html() -> str:
    """Return the HTML for the head of the page.

    It holds the icon, the style sheet for elements outside Gradio's container (dialogs, guide, messages), and
    the shared scripts inline.

    Raises
    ------
    ValueError
        If a script contains a closing script tag.
    """
    outside = minify((BROWSER / "outside.css").read_text(encoding="utf-8"))
    code = minify("\n".join((BROWSER / name).read_text(encoding="utf-8") for name in SCRIPTS))
    if "</script" in code.lower():
        raise ValueError("a shared script contains a closing script tag")
    icon = "data:image/svg+xml," + ICON.replace("#", "%23").replace('"', "'").replace("<", "%3C").replace(
        ">", "%3E"
    )
    return f'<link rel="icon" href="{icon}">\n<style>\n{outside}\n</style>\n<script>\n{code}\n</script>'


ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<rect width="24" height="24" rx="6" fill="#1d57c7"/>'
    '<path d="M6 17V9M12 17V6M18 17v-5" stroke="#fff" stroke-width="2.6" stroke-linecap="round"/></svg>'
)
