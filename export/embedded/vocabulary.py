"""The vocabulary of words that are offered for photographs: visible nouns of WordNet, adjective–noun pairs.

`python -m inficond.export.embedded.vocabulary` writes `vocabulary.csv.gz` and `vocabulary.npz` beside the
corpus. The first column says how familiar a word is: 2 for words that occur in WordNet's tagged texts and for
pairs, 1 for words whose parts are frequent in English texts, 0 for the rest. Only familiar words are offered
unasked.
"""

import argparse
import gzip
import io
import json
import re
from pathlib import Path

import numpy as np

from inficond.core.concepts.vocabulary import FILE, VECTORS, pack_vectors
from inficond.core.errors import InputError
from inficond.core.models.encoder import Encoder, load_encoder
from inficond.export.embedded.wordnet import DEFAULT_DICT, WordNet

VISIBLE = {5, 6, 8, 13, 17, 19, 20, 25, 27}
"""Lexicographer files: animal, artifact, body, food, object, phenomenon, plant, shape, substance."""
MOST = 21_000
_UNSEEN = (
    "genus genera family order class phylum taxonomic slang obsolete archaic abstract chemical compound "
    "isotope particle enzyme hormone protein drug gland nerve vein artery tissue organism disease bacteria "
    "bacterium bone muscle ligament cell molecule electron electronic circuit acid theory imaginary "
    "mythology offensive derogatory disparaging penis sexual genital genitals prostitute trade"
)
_GLOSS = re.compile(rf"\b({_UNSEEN.replace(' ', '|')})\b")
"""Words of glosses of things that a photograph does not show, or that should not be offered."""
PAIRS = Path(__file__).with_name("vocabulary_pairs.json")
"""Groups of adjectives and of nouns that go together."""


def words_of(wordnet: WordNet, tokens: set[str]) -> list[tuple[int, str]]:
    """Return familiarity and word, the most familiar and most frequent first.

    Parameters
    ----------
    wordnet : WordNet
    tokens : set of str
        Whole words of the text tower's tokenizer, which are frequent English words.
    """
    counts = _counts(wordnet.folder)
    found: dict[str, tuple[int, int]] = {}
    for lemma, senses in wordnet.senses.items():
        synset = wordnet.synsets[senses[0]]
        name = next((word for word in synset.lemmas if word.lower() == lemma), lemma)
        if synset.lexname not in VISIBLE or not re.fullmatch(r"[a-z]+([ -][a-z]+){0,2}", name):
            continue
        if len(name) < 3 or _GLOSS.search(synset.definition):
            continue
        frequent = all(part in tokens for part in re.split("[ -]", name))
        count = counts.get(lemma, 0)
        found[name] = (2 if count and frequent else 1 if frequent else 0, count)
    for pair in pairs():
        found.setdefault(pair, (2, 0))
    ranked = sorted(found.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
    return [(familiarity, name) for name, (familiarity, _) in ranked[:MOST]]


def pairs() -> list[str]:
    """Return adjective–noun pairs."""
    groups = json.loads(PAIRS.read_text("utf-8"))
    split = [(adjectives.split(), nouns.split()) for adjectives, nouns in groups]
    return list(dict.fromkeys(f"{a} {n}" for adjectives, nouns in split for a in adjectives for n in nouns))


def _counts(folder: Path) -> dict[str, int]:
    """Return how often each noun occurs in WordNet's tagged texts."""
    out: dict[str, int] = {}
    for line in (folder / "cntlist.rev").read_text("latin-1").splitlines():
        key, _, count = line.split()
        lemma, _, sense = key.partition("%")
        if sense.startswith("1:"):
            name = lemma.replace("_", " ")
            out[name] = out.get(name, 0) + int(count)
    return out


def write_vocabulary(words: list[tuple[int, str]], encoder: Encoder) -> None:
    """Write the words and their vectors in the space of an encoder."""
    text = "".join(f"{familiarity},{word}\n" for familiarity, word in words)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write(text.encode())
    FILE.write_bytes(packed.getvalue())
    names = [word for _, word in words]
    vectors = np.concatenate([encoder.embed_words(names[i : i + 256]) for i in range(0, len(names), 256)])
    codes, scale = pack_vectors(vectors)
    np.savez_compressed(VECTORS, codes=codes, scale=scale, encoder=np.array(encoder.manifest.digest))


def main() -> None:
    """Write the vocabulary of the embedded encoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, default=DEFAULT_DICT, help="dictionary folder of WordNet 3.0")
    args = parser.parse_args()
    try:
        wordnet = WordNet(args.wordnet)
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    encoder = load_encoder("embedded", threads=2)
    tokenizer = encoder.manifest.path_of("tokenizer.json")
    tokens = {t for t in json.loads(tokenizer.read_text("utf-8"))["model"]["vocab"] if t.isalpha()}
    words = words_of(wordnet, tokens)
    write_vocabulary(words, encoder)
    print(f"{len(words):,} words; {sum(f == 2 for f, _ in words):,} familiar; {FILE}, {VECTORS}")


if __name__ == "__main__":
    main()
