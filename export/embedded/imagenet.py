"""ImageNet classes in WordNet: readable names, groups, and words that cover them."""

from __future__ import annotations

import re
from importlib.resources import files

from inficond.core.errors import InputError
from inficond.export.embedded.wordnet import WordNet

ABSTRACT_LEXNAMES = {3, 4, 7, 8, 9, 10, 11, 12, 14, 16, 21, 22, 23, 24, 25, 26, 28}
"""WordNet's lexicographer files of what is not visible in a picture (acts, feelings, groups, times, …)."""
MOST_CLASSES = 260
"""Most classes of a word; "artifact" and "instrumentality" cover more."""
NAMES = {
    "02012849": "crane (bird)",
    "03126707": "crane (machine)",
    "02963159": "cardigan (sweater)",
    "02113186": "cardigan corgi",
    "03710637": "maillot (leotard)",
    "03710721": "one-piece swimsuit",
    "03773504": "missile",
    "04008634": "projectile",
    "04355933": "sunglass lens",
    "04356056": "sunglasses",
    "02089078": "black and tan coonhound",
    "02123597": "Siamese cat",
    "03895866": "railway carriage",
    "04487081": "trolleybus",
    "02747177": "trash bin",
    "03930630": "pickup truck",
    "04037443": "race car",
    "02690373": "airliner",
}
"""Readable names where WordNet's first word is ambiguous or unusual."""


def class_ids() -> list[str]:
    """Return the WordNet offsets of the 1,000 classes, in class order."""
    text = files("inficond.export.embedded").joinpath("imagenet_wnids.txt").read_text()
    return [line[1:] for line in text.split()]


def class_names(wordnet: WordNet) -> list[str]:
    """Return a readable, distinct name per class."""
    names: list[str] = []
    for offset in class_ids():
        lemmas = wordnet.synsets[offset].lemmas
        name = NAMES.get(offset) or next((x for x in lemmas if x not in names), lemmas[0])
        if name in names:
            parent = wordnet.synsets[wordnet.synsets[offset].hypernyms[0]].lemmas[0]
            name = f"{name} ({parent})"
        names.append(name)
    if len(set(names)) != len(names):
        raise ValueError("two ImageNet classes have the same name")
    return names


def groups(wordnet: WordNet) -> dict[str, list[int]]:
    """Return the indices of the classes of each group; a class is in one group at most.

    Raises
    ------
    InputError
        ``groups.txt`` names a word that WordNet lacks.
    """
    ancestors = [wordnet.ancestors(offset) for offset in class_ids()]
    taken: set[int] = set()
    found: dict[str, list[int]] = {}
    for line in files("inficond.export.embedded").joinpath("groups.txt").read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, words = line.partition(" | ")
        roots = {_sense(wordnet, word.strip()) for word in words.split(",")}
        members = [i for i, above in enumerate(ancestors) if i not in taken and above & roots]
        taken.update(members)
        if members:
            found[name] = members
    return found


def _sense(wordnet: WordNet, written: str) -> str:
    match = re.fullmatch(r"(.+)@(\d+)(?:#(\d+))?", written)
    if match is None:
        raise InputError(f"groups.txt: {written!r} is not word@file or word@file#sense")
    word, lexname, which = match[1], int(match[2]), int(match[3] or 1)
    senses = [o for o in wordnet.find(word) if wordnet.synsets[o].lexname == lexname]
    if len(senses) < which:
        raise InputError(f"groups.txt: WordNet has no sense {which} of {word!r} in file {lexname}")
    return senses[which - 1]


def covered_words(wordnet: WordNet) -> dict[str, list[int]]:
    """Return the indices of the classes that each word covers, by itself or as a hypernym.

    The most frequent *visible* sense of a word counts: "crane" is not the poet. A word whose most frequent
    visible sense covers no class is left out.
    """
    below: dict[str, list[int]] = {}
    for i, offset in enumerate(class_ids()):
        for above in wordnet.ancestors(offset):
            below.setdefault(above, []).append(i)
    words: dict[str, list[int]] = {}
    for offset, members in below.items():
        if len(members) > MOST_CLASSES:
            continue
        for lemma in wordnet.synsets[offset].lemmas:
            word = lemma.lower()
            first = visible_sense(wordnet, word)
            if first == offset and not _is_person(wordnet, offset):
                words[word] = members
    return dict(sorted(words.items()))


def visible_sense(wordnet: WordNet, word: str) -> str | None:
    """Return the most frequent sense of a word that is visible in a picture."""
    for offset in wordnet.find(word):
        if wordnet.synsets[offset].lexname not in ABSTRACT_LEXNAMES:
            return offset
    return None


def _is_person(wordnet: WordNet, offset: str) -> bool:
    # Three classes of persons (scuba diver, groom, ballplayer) do not represent people.
    return wordnet.synsets[offset].lexname == 18
