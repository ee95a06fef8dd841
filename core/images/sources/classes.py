"""Labels and split of images from the folders that they lie in."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inficond.core.images.sources.record import Split, split_of
from inficond.core.tables.cells import class_name


@dataclass(frozen=True)
class FolderLabels:
    """Labels and splits found in the folders of a set of images.

    Parameters
    ----------
    labels : list of str or None
        By image.
    splits : list of {"train", "val", "test"} or None
        By image.
    rule : str
        Description; empty if the folders are not classes.
    folders : frozenset of str
        Names of the folders that are classes, as they are on disk.
    """

    labels: list[str | None]
    splits: list[Split | None]
    rule: str
    folders: frozenset[str] = frozenset()


def folder_labels(ids: Sequence[str], folders: Sequence[str] = ()) -> FolderLabels:
    """Read labels and split from relative paths.

    Folders named ``train``, ``val``, ``valid``, ``validation`` or ``test`` that together hold all images are
    the split. Below them, two folders or more that hold images are classes. A single folder that holds
    everything is passed over. Labels are written as in tables (`class_name`), so that a folder from macOS and
    one from another system are one class. Folders of splits may also lie in each class folder.

    Parameters
    ----------
    ids : sequence of str
        Relative paths in POSIX form.
    folders : sequence of str
        Relative paths of folders that hold no image but may be classes.

    Returns
    -------
    FolderLabels
    """
    parts = [id.split("/") for id in ids]
    depth = _common_depth(parts)
    splits: list[Split | None] = [None] * len(ids)
    tops = {p[depth] if len(p) > depth + 1 else "" for p in parts}
    if tops and all(split_of(top) for top in tops) and _are_splits(parts, depth, tops):
        splits = [split_of(p[depth]) for p in parts]
        depth += 1
        by_split = defaultdict(list)
        for p in parts:
            by_split[p[depth - 1]].append(p[depth:])
        inner = {_common_depth(group) for group in by_split.values()}
        if len(inner) == 1 and not {len({p[0] for p in g}) for g in by_split.values()} - {1}:
            depth += inner.pop()
    classes = {p[depth] for p in parts if len(p) > depth + 1}
    empty = {f.split("/")[depth] for f in folders if f.count("/") >= depth} - classes
    if len(classes) + len(empty) < 2 or not classes:
        return FolderLabels([None] * len(ids), _varied(splits), "")
    labels = [class_name(p[depth]) if len(p) > depth + 1 else None for p in parts]
    if not any(splits) and all(len(p) > depth + 2 and split_of(p[depth + 1]) for p in parts):
        splits = [split_of(p[depth + 1]) for p in parts]
    return FolderLabels(labels, _varied(splits), "class folders", frozenset(classes))


def alike(folders: Iterable[str]) -> list[str]:
    """Return notes on class folders whose names differ by case, or by accents and spaces, only."""
    same, similar = defaultdict(list), defaultdict(set)
    for name in sorted(folders):
        label = class_name(name)
        same[label].append(name)
        similar[label.casefold()].add(label)
    notes = [
        f"{len(names)} folders are called {label!r:.80}, with accents or spaces in different encodings: one "
        "class"
        for label, names in same.items()
        if len(names) > 1
    ]
    for names in similar.values():
        if len(names) > 1:
            listed = " and ".join(f"{name!r:.80}" for name in sorted(names))
            notes.append(f"class folders {listed} differ in case only: they are {len(names)} classes")
    return notes


def _are_splits(parts: list[list[str]], depth: int, tops: set[str]) -> bool:
    """Whether folders with names of splits are splits, not classes called so."""
    return len(tops) > 1 or any(len(p) > depth + 2 for p in parts)


def _common_depth(parts: list[list[str]]) -> int:
    """Number of leading folders that every image lies in, names of splits not included."""
    depth = 0
    while (
        parts
        and all(len(p) > depth + 1 and p[depth] == parts[0][depth] for p in parts)
        and not split_of(parts[0][depth])
    ):
        depth += 1
    return depth


def _varied(splits: list[Split | None]) -> list[Split | None]:
    """A split with only one part is ignored."""
    return splits if len(set(splits)) > 1 else [None] * len(splits)
