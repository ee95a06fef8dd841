"""The look of the page: Gradio's theme with the system's fonts, and one style sheet
for everything of ours."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from inficond.gradio_app.views import all_views

if TYPE_CHECKING:
    import gradio as gr

BROWSER = Path(__file__).parent / "browser"
SCRIPTS = ("dom.js", "ui.js", "chart.js", "selection.js", "guide.js", "shell.js")
"""Loaded in this order, before any view."""


def theme() -> "gr.themes.Base":
    """A plain theme without web fonts: nothing is asked of another machine."""
    import gradio as gr

    fonts = ["ui-sans-serif", "system-ui", "sans-serif"]
    return gr.themes.Base(font=fonts, font_mono=["ui-monospace", "Consolas", "monospace"])


def style() -> str:
    """The page's style sheet, those of the views behind it; Gradio confines it to its own container."""
    sheets = [(BROWSER / "page.css").read_text(encoding="utf-8")]
    sheets += [view.css for view in all_views()]
    return squeezed("\n".join(sheets))


def squeezed(source: str) -> str:
    """A script or a style sheet without comments that stand on lines of their own and without indentation.

    Nothing else is touched, so no parser is needed and nothing can change its meaning: our scripts hold no
    text that runs over several lines.
    """
    source = re.sub(r"^[ \t]*/\*.*?\*/[ \t]*$", "", source, flags=re.MULTILINE | re.DOTALL)
    source = re.sub(r"^[ \t]*//.*$", "", source, flags=re.MULTILINE)
    return "\n".join(line.strip() for line in source.splitlines() if line.strip())


def head() -> str:
    """What goes into the page's head: an icon, the style sheet of what lies outside Gradio's container
    (dialogs, the guide, lines to the person), and what all views share as one inline script.
    """
    outside = squeezed((BROWSER / "outside.css").read_text(encoding="utf-8"))
    code = squeezed("\n".join((BROWSER / name).read_text(encoding="utf-8") for name in SCRIPTS))
    if "</script" in code.lower():
        raise ValueError("a shared script holds a closing script tag")
    icon = "data:image/svg+xml," + ICON.replace("#", "%23").replace('"', "'").replace("<", "%3C").replace(
        ">", "%3E"
    )
    return f'<link rel="icon" href="{icon}">\n<style>\n{outside}\n</style>\n<script>\n{code}\n</script>'


ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#1d57c7"/>'  # noqa: E501
    '<path d="M6 17V9M12 17V6M18 17v-5" stroke="#fff" stroke-width="2.6" stroke-linecap="round"/></svg>'
)
