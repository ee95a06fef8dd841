"""The theme, style sheets and shared scripts of the page."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from inficond.core.script_bundle import bundle_with_names, minify
from inficond.gradio_app.views import all_views

if TYPE_CHECKING:
    import gradio as gr

BROWSER = Path(__file__).parent / "browser"
LATE = {
    "comparison": BROWSER / "compare_dialog.js",
    "discovery": BROWSER / "discovery_dialog.js",
    "map": BROWSER.parent / "views" / "instances" / "map.js",
    "matrix": BROWSER / "matrix_dialog.js",
    "ownConcept": BROWSER / "own_concept.js",
    "words": BROWSER / "words_dialog.js",
}
"""Modules that are loaded at first use."""
SHARED = "inficond"
"""Prefix under which views of other packages import the modules of `browser`."""


def theme() -> "gr.themes.Base":  # pyright: ignore[reportPrivateImportUsage]
    """Return a Gradio theme that uses system fonts only, so that the page loads nothing from other hosts."""
    import gradio as gr

    fonts = ["ui-sans-serif", "system-ui", "sans-serif"]
    return gr.themes.Base(font=fonts, font_mono=["ui-monospace", "Consolas", "monospace"])  # pyright: ignore[reportPrivateImportUsage]


def stylesheet() -> str:
    """Return the style sheets of the page and of the views; Gradio scopes them to its container."""
    sheets = [(BROWSER / "page.css").read_text(encoding="utf-8")]
    sheets += [view.css for view in all_views()]
    return minify("\n".join(sheets))


def head_html() -> str:
    """Return the HTML for the head of the page.

    It holds the icon, the style sheet for elements outside Gradio's container (dialogs, guide, messages), and
    one inline script with all modules of the page.

    Raises
    ------
    ValueError
        If a script contains a closing script tag.
    """
    overlays = minify((BROWSER / "overlays.css").read_text(encoding="utf-8"))
    code = script()
    if "</script" in code.lower():
        raise ValueError("a script of the page contains a closing script tag")
    icon = "data:image/svg+xml," + ICON.replace("#", "%23").replace('"', "'").replace("<", "%3C").replace(
        ">", "%3E"
    )
    return f'<link rel="icon" href="{icon}">\n<style>\n{overlays}\n</style>\n<script>\n{code}\n</script>'


def script() -> str:
    """Return the script of the page: `window.inficond` with one setup function per view."""
    return _scripts()[0]


def late_script() -> str:
    """Return the script that `browser/late.js` loads at first use, so that the first page stays small."""
    return _scripts()[1]


@cache
def _scripts() -> tuple[str, str]:
    views = [view.name for view in all_views()]
    scripts = {f"{view.name}View": view.file("js") for view in all_views()}  # `performance` is a global
    code, names = bundle_with_names({"main": BROWSER / "main.js", **scripts}, {SHARED: BROWSER})
    setups = ", ".join(f"{name}: {name}View.setup" for name in views)
    modules = f"main.inficond.modules = [{', '.join(names.values())}];"
    first = f"(() => {{\n{code}\n{modules}\nObject.assign(main.inficond.views, {{ {setups} }});\n}})();"
    loaded = {path: f"inficond.modules[{i}]" for i, path in enumerate(names)}
    code, _ = bundle_with_names(LATE, {SHARED: BROWSER}, loaded)
    late = f"(() => {{\n{code}\ninficond.late = {{ {', '.join(LATE)} }};\n}})();"
    return first, late


ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<rect width="24" height="24" rx="6" fill="#1d57c7"/>'
    '<path d="M6 17V9M12 17V6M18 17v-5" stroke="#fff" stroke-width="2.6" stroke-linecap="round"/></svg>'
)
