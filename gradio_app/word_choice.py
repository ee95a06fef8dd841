"""The dialog "Which words?": proposals with crops, and the words that a visitor chooses."""

from collections.abc import Mapping
from typing import Any, TypedDict

from inficond.core.errors import InputError
from inficond.core.progress import Progress
from inficond.core.report.pictures import ReportPictures
from inficond.core.sessions.session import Session
from inficond.core.sessions.word_proposals import ProjectWords, choose_words, strongest_images
from inficond.gradio_app.visitor import Visitor

MOST_CHOSEN = 60
"""Words that one request may accept or reject."""


class ProposedWord(TypedDict):
    """A word with its crops, as data URIs."""

    word: str
    cls: str
    text: str
    concept: bool
    valid: bool
    crops: list[str]


class WordsPayload(TypedDict):
    """Proposed words, class by class."""

    words: list[ProposedWord]


def words_payload(visitor: Visitor, progress: Progress) -> WordsPayload:
    """Return the words that are proposed for the visitor's project, with crops of each."""
    session = visitor.session
    found = ProjectWords(session, progress).proposals()
    pictures = ReportPictures(visitor.project, session.context.words.embedding, session.context.windows)
    progress.start("cutting out crops", len(found))
    words: list[ProposedWord] = []
    for one in found:
        crops = [pictures.evidence(row, one.word) for row in strongest_images(session, one.word)]
        words.append(
            {
                "word": one.word,
                "cls": one.cls,
                "text": one.text.removeprefix(f"{one.word}: "),
                "concept": one.is_concept,
                "valid": one.is_valid,
                "crops": [crop for crop in crops if crop],
            }
        )
        progress.advance()
    return {"words": words}


def choose(session: Session, request: Mapping[str, Any]) -> list[str]:
    """Accept and reject the words of a request; return a line for each.

    Raises
    ------
    InputError
        The request is invalid, or a word cannot be accepted or rejected.
    """
    accept, reject = _words(request, "accept"), _words(request, "reject")
    if not accept and not reject:
        raise InputError("choose a word to accept or to reject")
    return choose_words(session, accept, reject)


def _words(request: Mapping[str, Any], name: str) -> list[str]:
    value = request.get(name, [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InputError(f"the request needs a list of words {name!r}")
    if len(value) > MOST_CHOSEN:
        raise InputError(f"{name} has {len(value)} words: at most {MOST_CHOSEN} at a time")
    return [word for word in (" ".join(w.split()) for w in value) if word]
