"""Contact sheet of words: twelve evidence crops of each, class by class, as one HTML file without scripts."""

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from inficond.core.report.pictures import ReportPictures

if TYPE_CHECKING:
    from inficond.core.sessions.discovery import DiscoveredConcept
    from inficond.core.sessions.session import Session
    from inficond.core.sessions.word_proposals import WordProposal

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h2 { margin: 2rem 0 .4rem; } section { margin: 0 0 1rem; } p { margin: 0 0 .3rem; }
.crops { display: flex; flex-wrap: wrap; gap: 4px; } img { width: 91px; height: 91px; border-radius: 4px; }
.quiet { opacity: .7; }
"""


def contact_sheet(
    session: "Session",
    proposals: Sequence["WordProposal"],
    examples: Callable[["WordProposal"], Sequence[int]],
) -> str:
    """Return the contact sheet of proposed words as HTML.

    Parameters
    ----------
    session : Session
    proposals : sequence of WordProposal
        Class by class.
    examples : callable
        Returns the rows of the images whose crops show a proposed word.
    """
    pictures = ReportPictures.of(session.context)
    parts, shown = [], ""
    for one in proposals:
        if one.cls != shown:
            shown = one.cls
            parts.append(f"<h2>{escape(shown)}</h2>")
        crops = []
        for row in examples(one):
            source, alt = pictures.evidence(row, one.word), f"{one.word} in {session.image_ids[row]}"
            if source:
                crops.append(f'<img src="{source}" alt="{escape(alt)}" title="{escape(alt)}">')
        text = escape(one.text.removeprefix(f"{one.word}: "))
        parts.append(
            f'<section><p><strong>{escape(one.word)}</strong> <span class="quiet">{text}</span></p>'
            f'<div class="crops">{"".join(crops) or "no image shows it"}</div></section>'
        )
    about = (
        "For each word, images of the class with large values that show it most clearly, with the evidence "
        "region in colour; a whole picture where the word is seen in no single place. Accept a word if the "
        "regions show what it names."
    )
    return _page(f"Words of {session.project.name}", about, parts)


def discovery_sheet(session: "Session", found: Sequence["DiscoveredConcept"], crops: int = 12) -> str:
    """Return the contact sheet of discovered concepts as HTML, numbered from 1.

    Parameters
    ----------
    session : Session
    found : sequence of DiscoveredConcept
    crops : int
        Most crops of a concept.
    """
    pictures = ReportPictures(session.project, session.context.words.embedding)
    parts, shown = [], ""
    for number, one in enumerate(found, 1):
        if one.cls != shown:
            shown = one.cls
            parts.append(f"<h2>{escape(shown)}</h2>")
        images = []
        for image, region in one.examples[:crops]:
            source = pictures.region(session.row_of(image), region)
            if source:
                images.append(f'<img src="{source}" alt="{escape(image)}" title="{escape(image)}">')
        parts.append(
            f'<section><p><strong>{number}</strong> <span class="quiet">{escape(one.text)}</span></p>'
            f'<div class="crops">{"".join(images)}</div></section>'
        )
    about = (
        "Groups of similar regions that explain what the words leave over. The crops are the concept: give "
        "it a name of your own if they show one thing."
    )
    return _page(f"Concepts without words: {session.project.name}", about, parts)


def _page(title: str, about: str, parts: Sequence[str]) -> str:
    title = escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{about}</p>{''.join(parts)}</body></html>\n"
    )
