"""Built-in corpus: from ``concepts.txt`` to names, groups and prompts."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from importlib.resources import files

from inficond.export.embedded.wordnet import WordNet

LONGEST = 160
"""Most characters of a prompt; the end of a description rarely describes appearance."""


@dataclass(frozen=True)
class CorpusEntry:
    """A concept of the built-in corpus.

    Attributes
    ----------
    name, group : str
    prompts : tuple of str
        The name, a caption, other wordings and a description.
    looked_up : bool
        Whether vectors of ImageNet classes below the word are used.
    """

    name: str
    group: str
    prompts: tuple[str, ...]
    looked_up: bool


def read_entries(wordnet: WordNet) -> list[CorpusEntry]:
    """Read the concepts of ``concepts.txt``; WordNet supplies descriptions that are missing there."""
    entries: list[CorpusEntry] = []
    group, lexnames = "", [6]
    for line in files("inficond.export.embedded").joinpath("concepts.txt").read_text("utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and "|" not in line:
            group, _, numbers = line[1:-1].partition(";")
            if numbers:
                lexnames = [int(n) for n in numbers.split(",")]
            continue
        if line.startswith("["):
            continue
        entries.append(_entry(line, group.strip(), lexnames, wordnet))
    return entries


def _entry(line: str, group: str, lexnames: list[int], wordnet: WordNet) -> CorpusEntry:
    first, *rest = [part.strip() for part in line.split("|")]
    vague, name = first.endswith("*"), first.rstrip("*")
    others = [p for p in rest if not p.startswith("=")]
    written = [p[1:].strip() for p in rest if p.startswith("=")]
    description = written[0] if written else _description(wordnet, [name, *others], lexnames)
    prompts = [name, f"a photo of {article(name)}", *others]
    if description:
        prompts.append(textwrap.shorten(f"{name}: {description}", LONGEST, placeholder=""))
    return CorpusEntry(name, group, tuple(dict.fromkeys(prompts)), not vague)


def _description(wordnet: WordNet, words: list[str], lexnames: list[int]) -> str:
    for word in words:
        for lexname in lexnames:
            for offset in wordnet.find(word):
                if wordnet.synsets[offset].lexname == lexname:
                    return wordnet.synsets[offset].definition
    return ""


PLURAL_OR_MASS = {
    "water", "grass", "snow", "sand", "ice", "fog", "smoke", "mud", "dirt", "ground", "gravel", "moss", "hay",
    "straw", "sky", "fire", "coral", "wool", "foam", "food", "fruit", "broccoli", "coffee", "beer",
    "metal", "wood",
    "plastic", "paper", "concrete", "cardboard", "textile", "furniture", "tableware", "equipment",
    "money", "judo",
    "parkour", "hockey", "kitesurfing", "clothing", "tape", "chess",
}  # fmt: skip


def article(name: str) -> str:
    """Return a noun with its article, if any: "a boat", "an apple", "water", "stairs"."""
    last = name.lower().split()[-1]
    plural = (last.endswith("s") and not last.endswith(("ss", "us"))) or last in ("geese", "leaves")
    if plural or last in PLURAL_OR_MASS or name.startswith("Santa"):
        return name
    return ("an " if name[0].lower() in "aeiou" and not name.startswith("uni") else "a ") + name
