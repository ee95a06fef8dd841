"""Summary of a new project: fidelity and accuracy of its students on validation images."""

from typing import Any

import numpy as np


def summarise(project: Any) -> dict[str, Any]:
    """Return the metrics of students and random-concept baseline on validation images, by class."""
    from inficond.core.evaluation.metrics import class_metrics

    rows = project.validation_rows
    T, S = np.asarray(project.T[rows]), project.students.predict(np.asarray(project.X[rows]))
    R = _random_scores(project, rows)
    nec, thresholds = project.students.nec(), project.students.thresholds
    classes = {}
    for c, name in enumerate(project.classes):
        labels = None if project.labels is None else np.asarray(project.labels[rows, c])
        measured = class_metrics(
            T[:, c], S[:, c], threshold=float(thresholds[c]), labels=labels, nec=int(nec[c])
        )
        entry = measured.to_dict()
        if R is not None:
            entry["random"] = class_metrics(T[:, c], R[:, c], labels=labels).to_dict()
        classes[name] = entry
    source = project.config.get("source", {})
    return {
        "project": str(project.path),
        "images": len(project) + len(project.exam or ()),
        "validation": len(rows),
        "exam": len(project.exam or ()),
        "skipped": source.get("skipped", 0),
        "skipped_files": source.get("skipped_files", []),
        "notes": source.get("notes", []),
        "reused": source.get("reused", 0),
        "encoded": source.get("encoded", source.get("files", 0)),
        "concepts": len(project.concepts),
        "provider": project.config.get("encoder", {}).get("provider"),
        "seconds": project.config.get("seconds", {}),
        "classes": classes,
        "mean": _means(classes),
        "choices": project.config.get("choices", []),
        "controls": project.config.get("controls"),
        "exclusive": _exclusive(project, T, S, rows),
    }


def _exclusive(project: Any, T: np.ndarray, S: np.ndarray, rows: np.ndarray) -> dict[str, Any] | None:
    """Measure top-1 agreement and accuracy if the students share a softmax."""
    from inficond.core.evaluation.exclusive import exclusive_metrics

    if project.students.link != "softmax" or not len(rows):
        return None
    labels = None if project.labels is None else np.asarray(project.labels[rows])
    return exclusive_metrics(T, S, project.students.thresholds, labels).to_dict()


def _random_scores(project: Any, rows: np.ndarray) -> np.ndarray | None:
    """Return the probabilities (n, C) of the random-concept baseline on validation images."""
    baseline = project.baseline
    if baseline is None or baseline.embeddings is None:
        return None
    from inficond.core.concepts.vectors import concept_vectors

    regions = project.region_embeddings
    parts = [
        concept_vectors(np.asarray(regions[rows[i : i + 1024]]), np.asarray(baseline.embeddings))
        for i in range(0, len(rows), 1024)
    ]
    return baseline.predict(np.concatenate(parts))


def _means(classes: dict[str, Any]) -> dict[str, float | None]:
    """Return means over the classes for which a metric is defined."""

    def mean(*path: str) -> float | None:
        found = [metric_of(entry, *path) for entry in classes.values()]
        values = [float(value) for value in found if isinstance(value, int | float)]
        return float(np.mean(values)) if values else None

    return {
        "fidelity_ap": mean("ap"),
        "random_fidelity_ap": mean("random", "ap"),
        "student_ap": mean("student_accuracy", "ap"),
        "teacher_ap": mean("teacher_accuracy", "ap"),
        "random_ap": mean("random", "student_accuracy", "ap"),
        "nec": mean("nec"),
    }


def metric_of(entry: Any, *path: str) -> Any:
    """Return an item of nested dictionaries; None where one of them lacks it."""
    for key in path:
        entry = entry.get(key) if isinstance(entry, dict) else None
    return entry
