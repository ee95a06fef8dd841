"""Survey of the built-in words on captioned photographs: `python -m tests.tools.corpus_survey FOLDER`.

FOLDER contains `images/` and `captions.csv` with the columns image and caption. For each word that is offered
by default, and each odd one, it prints in how many photographs the embedded encoder finds it (the test of
`core/concepts/validity.py`) and in what share of these a caption names it. A word for a thing that is found
often and never named is found where it is not. Captions do not name everything in sight, so the list of odd
words was chosen by reading, with this survey beside.
"""

import argparse
import csv
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from inficond.core.concepts import load_corpus
from inficond.core.concepts.neutral import neutral_regions
from inficond.core.concepts.odd_words import odd_words
from inficond.core.concepts.validity import word_validity
from inficond.core.models import load_encoder
from inficond.core.models.encoder import Encoder

BATCH = 16


def read_captions(path: Path) -> dict[str, str]:
    """Return all captions of each image as one text of lower-case words."""
    found: dict[str, list[str]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[row["image"]] += re.findall(r"[a-z]+", row["caption"].lower())
    return {image: " ".join(words) for image, words in found.items()}


def encode(paths: list[Path], encoder: Encoder) -> np.ndarray:
    """Return the region embeddings of photographs, (N, R, D) float16."""
    parts = []
    for start in range(0, len(paths), BATCH):
        block = [encoder.preprocess(Image.open(p).convert("RGB")) for p in paths[start : start + BATCH]]
        parts.append(np.asarray(encoder.encode(np.stack(block)).regions, np.float16))
    return np.concatenate(parts)


def main() -> None:
    """Print a line for each word, those found most often first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    captions = read_captions(folder / "captions.csv")
    paths = [p for p in sorted((folder / "images").iterdir()) if p.name in captions]
    encoder, corpus = load_encoder("embedded"), load_corpus()
    regions, hubness = encode(paths, encoder), neutral_regions("embedded", np.zeros((0, 1, encoder.dim)))
    corrections = hubness.hubness(corpus.embeddings)
    named = {
        word: np.array(
            [bool(re.search(rf"\b{re.escape(word.lower())}(s|es)?\b", captions[p.name])) for p in paths]
        )
        for word in corpus.names
    }
    found = np.array(
        [
            word_validity(regions[i : i + 1], corpus.embeddings, corrections).found > 0
            for i in range(len(regions))
        ]
    )
    print(f"{len(paths)} photographs")
    for k in np.argsort(-found.sum(axis=0), kind="stable"):
        word, seen = corpus.names[k], found[:, k]
        share = float(named[word][seen].mean()) if seen.any() else 0.0
        print(f"{int(seen.sum()):6} found  {share:6.1%} named  {word}{'  (odd)' * (word in odd_words())}")


if __name__ == "__main__":
    main()
