"""Attribution page of the demo's photographs, generated from the manifest."""

from typing import Any

HEADER = """# Where the pictures of the demo come from

Every scene of the built-in demo is a **photo collage**: one cut-out on one background, both photographs
by other people. The tables name each, the package it was taken from, and its licence. Collages drawn
from them are licensed under the GNU General Public License, version 3 or later (see `LICENSE` beside
this file), which may take in all of these: GPL-2 or later, public domain and CC0, CC-BY 4.0, and CC-BY-
SA 4.0. A photograph under an earlier CC-BY-SA was adapted under version 4.0, as its licence allows.

Changes made to the originals: cut out, scaled down, stored as WebP. When a scene is drawn, cut-outs are
scaled, mirrored, tinted, given a shadow or a reflection, and partly hidden by water or grass;
backgrounds are cropped, mirrored and blurred, and some are brightened or have their foreground
stretched.

This page is made by `python -m inficond.core.demo.build --attribution` from `manifest.json`.
"""


def attribution(manifest: dict[str, Any]) -> str:
    """Return the attribution page as Markdown.

    Parameters
    ----------
    manifest : dict
        With `cutouts` and `backgrounds`: each entry has `source` and `licence`.
    """
    parts = [HEADER]
    for title, key, kind in (("Cut-outs", "cutouts", "class"), ("Backgrounds", "backgrounds", "kind")):
        parts.append(f"\n## {title}\n\n| name | shows | source | licence |\n|---|---|---|---|\n")
        parts += [
            f"| `{name}` | {entry[kind]} | {entry['source']} | {entry['licence']} |\n"
            for name, entry in sorted(manifest[key].items())
        ]
    return "".join(parts)
