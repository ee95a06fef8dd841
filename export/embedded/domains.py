"""The table of nouns and their domains, from WordNet.

`python -m inficond.export.embedded.domains` writes `domain_nouns.csv.gz` beside the corpus: the index of a
domain and a noun on each line. The domain of a noun is that of its most frequent sense below a root of some
domain; of several roots, the nearest decides.
"""

import argparse
import gzip
import io
import re
from pathlib import Path

from inficond.core.concepts.domains import NOUNS, Domain, load_domains
from inficond.core.errors import InputError
from inficond.export.embedded.wordnet import DEFAULT_DICT, WordNet

SENSES = 3
"""Senses of a noun that are looked at, the most frequent first."""
_NAME = re.compile(r"[a-z]+([ '-][a-z]+){0,2}")


def domains_of_nouns(wordnet: WordNet, domains: tuple[Domain, ...]) -> dict[str, int]:
    """Return the index of the domain of each noun that has one.

    Raises
    ------
    KeyError
        A root is not a word of WordNet in its lexicographer file.
    """
    direct: dict[str, int] = {}
    roots: dict[str, int] = {}
    for i, domain in enumerate(domains):
        for root in domain.roots:
            word, _, lexname = root.partition("@")
            if not lexname:
                direct.setdefault(word, i)
                continue
            senses = [s for s in wordnet.find(word) if wordnet.synsets[s].lexname == int(lexname)]
            if not senses:
                raise KeyError(f"WordNet has no sense {root!r}: correct the roots of domain {domain.name!r}")
            roots.setdefault(senses[0], i)
    nearest: dict[str, int | None] = {}

    def domain_of(synset: str) -> int | None:
        if synset not in nearest:
            nearest[synset] = roots.get(synset)
            level = [synset]
            while nearest[synset] is None and level:
                level = [h for s in level for h in wordnet.synsets[s].hypernyms]
                nearest[synset] = next((roots[s] for s in level if s in roots), None)
        return nearest[synset]

    found = {}
    for noun, meanings in wordnet.senses.items():
        if not _NAME.fullmatch(noun):
            continue
        index = next((d for s in meanings[:SENSES] if (d := domain_of(s)) is not None), None)
        if index is not None:
            found[noun] = index
    return found | direct


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, default=DEFAULT_DICT, help="dictionary folder of WordNet 3.0")
    args = parser.parse_args()
    try:
        found = domains_of_nouns(WordNet(args.wordnet), load_domains())
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    text = "".join(f"{index},{noun}\n" for noun, index in sorted(found.items(), key=lambda p: (p[1], p[0])))
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write(text.encode())
    NOUNS.write_bytes(packed.getvalue())
    print(f"{len(found):,} nouns in {len(load_domains())} domains: {NOUNS}")


if __name__ == "__main__":
    main()
