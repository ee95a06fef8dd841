"""A teacher for a labelled folder: a linear probe on the embedded teacher's logits, as a file of responses.

    python tests/tools/probe_teacher.py IMAGES LABELS.csv RESPONSES.csv

Responses are out of fold: no image is answered by a probe that was fitted on it, so a student of this teacher
can be compared with the labels on every image. Folds follow the md5 of the file name: the same folder gives
the same file.
"""

import csv
import hashlib
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from inficond.core.images import decode, find_images
from inficond.core.models import load_teacher
from inficond.core.models.tables import read_labels

FOLDS = 5
BATCH = 16


def logits_of(paths: Sequence[Path]) -> np.ndarray:
    """The embedded teacher's logits, (N, L) float32; batches side by side, one thread each."""
    teacher = load_teacher("embedded", threads=1)

    def run(batch: Sequence[Path]) -> np.ndarray:
        pixels = np.stack([teacher.preprocess(decode(path)) for path in batch])
        return teacher.session.run({"pixels": pixels}, ("logits",))[0]

    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(
            list(pool.map(run, (paths[i : i + BATCH] for i in range(0, len(paths), BATCH))))
        )


def out_of_fold(features: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Probabilities (N, C) of one-against-rest probes, each image by probes of the other folds."""
    fold = np.array([int(hashlib.md5(name.encode()).hexdigest(), 16) % FOLDS for name in names])
    result = np.zeros(labels.shape)
    for held in range(FOLDS):
        scaler = StandardScaler().fit(features[fold != held])
        train, test = scaler.transform(features[fold != held]), scaler.transform(features[fold == held])
        for c in range(labels.shape[1]):
            probe = LogisticRegression(C=0.003, max_iter=500).fit(train, labels[fold != held, c])
            result[fold == held, c] = probe.predict_proba(test)[:, 1]
    return result


def write_responses(images: Path, labels: Path, out: Path) -> None:
    """Fit the probes and write `image, class, probability`."""
    found, table = find_images(images), read_labels(labels)
    rows = table.rows_for([f.id for f in found])
    found = [f for f, row in zip(found, rows) if row >= 0]
    truth = table.values[rows[rows >= 0]]
    responses = out_of_fold(logits_of([f.path for f in found]), truth, [f.path.name for f in found])
    with open(out, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "class", "probability"])
        for f, row in zip(found, responses):
            for name, value in zip(table.classes, row):
                writer.writerow([f.id, name, f"{value:.6f}"])


if __name__ == "__main__":
    write_responses(*map(Path, sys.argv[1:4]))
