"""The dialog "Which words?": proposals, their crops, and the words that a visitor chooses."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from inficond.core.errors import InputError
from inficond.core.progress import Progress
from inficond.core.report.pictures import ReportPictures
from inficond.core.sessions.discovery import discover_concepts
from inficond.core.sessions.examples import example_images
from inficond.core.sessions.renamed_concepts import label_of
from inficond.core.sessions.session import Session
from inficond.core.sessions.shown_concepts import (
    SUFFIX,
    Example,
    ImageRegion,
    check_examples,
    distinct_label,
    example_vector,
    parse_example,
)
from inficond.core.sessions.word_proposals import CROPS, ProjectWords, choose_words
from inficond.core.tuning.concepts import check_name
from inficond.gradio_app.own_regions import OwnRegions, with_own_regions
from inficond.gradio_app.visitor import Visitor

MOST_CHOSEN = 60
"""Words that one request may accept or reject."""
MOST_WITH_CROPS = 8
"""Words whose crops one request may want."""
NOT_PAIRS = f"'crops_of' must be a list of at most {MOST_WITH_CROPS} pairs of a word and a class"
MOST_EXAMPLES = 12
"""Concepts by example that one request may add."""


class ProposedWord(TypedDict):
    """A proposed word, the name that a person gave it (or the word), and what is known of it."""

    word: str
    label: str
    cls: str
    text: str
    concept: bool
    valid: bool


class CropsPayload(TypedDict):
    """Crops of some words, as data URIs."""

    crops: list[list[str]]


class WordsPayload(TypedDict):
    """Proposed words, class by class."""

    words: list[ProposedWord]


class FoundConcept(TypedDict):
    """A discovered concept with its crops, as data URIs, and the regions that define it."""

    cls: str
    text: str
    names: list[str]
    crops: list[str]
    shown: list[ImageRegion]


class DiscoveryPayload(TypedDict):
    """Discovered concepts, class by class."""

    found: list[FoundConcept]


class PickedRegion(TypedDict):
    """A region of an image, and its cells: one digit each, row by row."""

    image: str
    region: int
    cells: str


def words_payload(visitor: Visitor, progress: Progress) -> WordsPayload:
    """Return the words that are proposed for the visitor's project, without crops; see `crops_payload`."""
    words: list[ProposedWord] = [
        {
            "word": one.word,
            "label": label_of(one.word),
            "cls": one.cls,
            "text": one.text.removeprefix(f"{one.word}: "),
            "concept": one.is_concept,
            "valid": one.is_valid,
        }
        for one in ProjectWords(visitor.session, progress).proposals()
    ]
    return {"words": words}


def words_with_crops(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the words, each with its class, whose crops a request wants; empty for the words themselves.

    Raises
    ------
    InputError
        Not a list of at most `MOST_WITH_CROPS` pairs of a word and a class.
    """
    wanted = request.get("crops_of", [])
    if not isinstance(wanted, list) or len(wanted) > MOST_WITH_CROPS:
        raise InputError(NOT_PAIRS)
    pairs: list[tuple[str, str]] = []
    for pair in wanted:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise InputError(NOT_PAIRS)
        check_name(pair[0])
        pairs.append((pair[0], pair[1]))
    return pairs


def crops_payload(visitor: Visitor, pairs: Sequence[tuple[str, str]], progress: Progress) -> CropsPayload:
    """Return crops of words, each from the images of its class that show it most clearly."""
    session = visitor.session
    pictures = ReportPictures.of(session.context)
    progress.start("cutting out crops", len(pairs))
    crops: list[list[str]] = []
    for word, cls in pairs:
        found = [pictures.evidence(row, word) for row in example_images(session, word, CROPS, cls)]
        crops.append([crop for crop in found if crop])
        progress.advance()
    return {"crops": crops}


def discovery_payload(visitor: Visitor, cls: str | None, progress: Progress) -> DiscoveryPayload:
    """Return the concepts without words that the visitor's students lack, with crops of each."""
    session = visitor.session
    found = discover_concepts(session, cls=cls, progress=progress)
    pictures = ReportPictures(visitor.project, session.context.words.embedding)
    concepts: list[FoundConcept] = []
    for one in found:
        crops = [pictures.region(session.row_of(image), region) for image, region in one.examples[:CROPS]]
        concepts.append(
            {
                "cls": one.cls,
                "text": one.measured,
                "names": list(one.names),
                "crops": [crop for crop in crops if crop],
                "shown": list(one.examples),
            }
        )
    return {"found": concepts}


def region_at(visitor: Visitor, request: Mapping[str, Any]) -> PickedRegion:
    """Return the region of an image at a place; x and y are shares of its width and height.

    Raises
    ------
    InputError
        No such image, not a place, or the project stores no regions.
    """
    image, x, y = request.get("image"), request.get("x"), request.get("y")
    if not isinstance(image, str) or not all(isinstance(v, int | float) for v in (x, y)):
        raise InputError("the request needs an image and the numbers x and y")
    row = visitor.session.row_of(image)
    _, region = parse_example(visitor.project, f"{image}@{x},{y}")
    mask = (visitor.project.assignment(row) == region).ravel()
    return {"image": image, "region": region, "cells": "".join("1" if v else "0" for v in mask.tolist())}


def choose(session: Session, request: Mapping[str, Any], own: OwnRegions | None = None) -> list[str]:
    """Accept, reject and rename words, and add concepts by example, as a request says; return lines.

    Raises
    ------
    InputError
        The request is invalid, or a word cannot be accepted, rejected or renamed.
    """
    accept, reject = _words(request, "accept"), _words(request, "reject")
    rename = _renamed(request)
    examples = _examples(session, request.get("examples", []), own)
    if not accept and not reject and not rename and not examples:
        raise InputError("choose a word to accept, to reject or to rename")
    lines = choose_words(session, accept, reject, rename=rename) if accept or reject or rename else []
    for name, shown, not_shown in examples:
        session.add_example(name, shown, not_shown)
        lines.append(f"{name}{SUFFIX}: added from {len(shown)} region{'s' * (len(shown) != 1)}")
    return lines


def _examples(
    session: Session, value: Any, own: OwnRegions | None
) -> list[tuple[str, list[Example], list[Example]]]:
    """Return name, shown and other regions of concepts by example; nothing is added."""
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise InputError("the request needs a list of objects 'examples'")
    if len(value) > MOST_EXAMPLES:
        raise InputError(f"examples has {len(value)} concepts: at most {MOST_EXAMPLES} at a time")
    found: list[tuple[str, list[Example], list[Example]]] = []
    for one in value:
        name = one.get("name")
        name = " ".join(name.split()).removesuffix(SUFFIX) if isinstance(name, str) else ""
        check_name(name)
        pairs = (one.get("shown"), one.get("not_shown", []))
        shown, not_shown = (check_examples(with_own_regions(value, own)) for value in pairs)
        if not session.history.persistent:
            name = distinct_label(name, shown, not_shown)
        if name + SUFFIX in (*session.concepts, *(other + SUFFIX for other, _, _ in found)):
            raise InputError(f"{name + SUFFIX!r} is a concept already: choose another name")
        example_vector(session.project, shown, not_shown)
        found.append((name, shown, not_shown))
    return found


def _renamed(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return pairs of a word and its new name."""
    value = request.get("rename", [])
    if not isinstance(value, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in value
    ):
        raise InputError("the request needs a list 'rename' of pairs of a word and its new name")
    if len(value) > MOST_CHOSEN:
        raise InputError(f"rename has {len(value)} words: at most {MOST_CHOSEN} at a time")
    return [(old, new) for old, new in value]


def _words(request: Mapping[str, Any], name: str) -> list[str]:
    value = request.get(name, [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InputError(f"the request needs a list of words {name!r}")
    if len(value) > MOST_CHOSEN:
        raise InputError(f"{name} has {len(value)} words: at most {MOST_CHOSEN} at a time")
    return [word for word in (" ".join(w.split()) for w in value) if word]
