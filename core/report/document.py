"""Frame of a self-contained HTML page: head, themes, style sheet and content policy."""

import base64
import hashlib
from functools import cache
from html import escape
from pathlib import Path


def document(title: str, about: str, heading: str, body: str, footer: str = "") -> str:
    """Return a complete HTML document without scripts and requests, in light and dark.

    Parameters
    ----------
    title : str
        Plain text for the window.
    about : str
        HTML of the line below the heading.
    heading : str
        Plain text; with the kind of page before it, separated by a line break.
    body, footer : str
        HTML.
    """
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    # Bars set their width by style attributes; scripts and requests are not allowed.
    policy = (
        f"default-src 'none'; img-src data:; style-src-elem 'sha256-{digest}'; style-src-attr 'unsafe-inline'"
    )
    brand, _, name = heading.partition("\n")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header id="top">
<div><p class="brand">{escape(brand)}</p><h1>{escape(name)}</h1>
<p>{about}</p></div>
<fieldset class="theme" aria-label="Colours">
<input type="radio" name="theme" id="auto" checked><label for="auto">System</label>
<input type="radio" name="theme" id="light"><label for="light">Light</label>
<input type="radio" name="theme" id="dark"><label for="dark">Dark</label>
</fieldset></header>
<main>
{body}
</main>
<footer>{footer}</footer>
</body>
</html>
"""


@cache
def _style() -> str:
    return (Path(__file__).with_name("page.css")).read_text(encoding="utf-8")
