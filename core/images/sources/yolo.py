"""Images with YOLO label files, as multi-label truth."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import MOST_GIVEN, read_given, read_regular
from inficond.core.images.sources.record import ImageRecord, Note, Split
from inficond.core.images.walk import relative_name, walk
from inficond.core.tables.encoding import decode_text

CONFIG_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
MOST_NAMES = 16 << 20
"""Size limit of a YAML file, a list of classes or a label file, in bytes."""
_PARTS: tuple[tuple[str, Split], ...] = (
    ("train", "train"),
    ("val", "val"),
    ("valid", "val"),
    ("test", "test"),
)


@dataclass(frozen=True)
class _Part:
    """Images of a part of a data set."""

    split: Split | None
    images: list[Path]


class YoloImages:
    """Images with one label file each; a class holds where a line of the label file names it.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    config : Path, optional
        The data set's YAML file, which names the classes and the folders of images.
    """

    def __init__(self, root: Path, config: Path | None = None) -> None:
        self._root, self._config = _absolute(root), config
        self.notes: list[str] = []
        self.rule = "object classes"

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        names, parts = self._described(note) if self._config else self._undescribed(note)
        varied = len({part.split for part in parts}) > 1
        faults: list[str] = []
        background = n = 0
        for part in parts:
            for path in part.images:
                n += 1
                held = _labels(path, names, faults)
                background += held == ()
                root = self._root if path.is_relative_to(self._root) else path.parent
                yield ImageRecord(
                    relative_name(path, root), path, split=part.split if varied else None, labels=held
                )
        self.notes.append(
            f"{n:,} images with YOLO labels"
            + (f", {background:,} of them without an object: no class holds" if background else "")
        )
        if faults:
            self.notes.append(f"labels of {len(faults):,} image(s) unknown, first {faults[0]}")

    def _described(self, note: Note) -> tuple[dict[int, str], list[_Part]]:
        assert self._config is not None
        config = _read_yaml(self._config)
        classes = _class_names(config.get("names"), self._config)
        base = self._root
        if isinstance(config.get("path"), str) and os.path.isdir(base / config["path"]):
            base = _absolute(base / config["path"])
        self._root = base if self._root.is_relative_to(base) else self._root
        parts = []
        for key, split in _PARTS:
            places = config.get(key)
            for place in places if isinstance(places, list) else [places]:
                if isinstance(place, str):
                    parts.append(_Part(split, _images(self._root, base, place, note)))
        if not any(part.images for part in parts):
            raise InputError(
                f"no images in {self._config}: none of its folders `train`, `val`, `test` has any"
            )
        return classes, parts

    def _undescribed(self, note: Note) -> tuple[dict[int, str], list[_Part]]:
        names: dict[int, str] = {}
        for place in (self._root / "classes.txt", self._root / "labels" / "classes.txt"):
            if place.is_file():
                names = dict(enumerate(_lines(place, MOST_NAMES)))
                break
        else:
            self.notes.append("no classes.txt: classes are called by their numbers")
        return names, [_Part(None, sorted(walk(self._root / "images", note)))]


def is_yolo_folder(folder: Path) -> bool:
    """Return whether a folder has images and label files in the places of a YOLO data set."""
    labels = folder / "labels"
    return (folder / "images").is_dir() and labels.is_dir() and next(labels.rglob("*.txt"), None) is not None


def config_file(folder: Path) -> Path | None:
    """Return the YAML file that describes a YOLO data set, None where there is none."""
    return next((folder / name for name in CONFIG_NAMES if (folder / name).is_file()), None)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise InputError(
            f'{path}: reading YAML needs the extra `data` (pip install "inficond[data]")'
        ) from None
    try:
        found = yaml.safe_load(decode_text(read_given(path, MOST_NAMES), path)[0])
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        yaml.YAMLError,
        RecursionError,
    ) as error:  # ValueError: a date such as 2001-99-99
        raise InputError(
            f"{path} cannot be read as YAML ({str(error).splitlines()[0]}): correct it, or rename it if it "
            "does not describe the images"
        ) from error
    if not isinstance(found, dict):
        raise InputError(
            f"{path} does not describe a data set (`names`, `train`, `val`): rename it if it is another file"
        )
    return found


def _class_names(names: Any, config: Path) -> dict[int, str]:
    """Names of the classes by number. A name is one value: aliases could repeat a list without limit."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise InputError(
            f"{config} has no `names`, the list of classes: add it, or rename the file if it does not "
            "describe the images"
        )
    if not all(isinstance(name, str | int | float) for name in names.values()):
        raise InputError(f"{config}: `names` is not a list of class names")
    try:
        return {int(number): str(name) for number, name in names.items()}
    except (TypeError, ValueError):
        raise InputError(f"{config}: `names` is not a list of class names") from None


def _lines(path: Path, limit: int) -> list[str]:
    """Return the lines of a text file that are not empty."""
    content = read_given(path, limit)
    try:
        text, _ = decode_text(content, path)
    except InputError:  # a damaged line is left out later, and the others are used
        text = content.decode("utf-8", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _images(root: Path, base: Path, place: str, note: Note) -> list[Path]:
    """Return the images of a place of the YAML file: a folder, or a text file of paths."""
    where = next((p for p in (base / place, root / place.removeprefix("../")) if os.path.exists(p)), None)
    if where is None:
        note(place, "cannot be read: named in the YAML file, but not there")
        return []
    if where.is_dir():
        return sorted(walk(_absolute(where), note))
    try:
        lines = _lines(where, MOST_GIVEN)
    except OSError as error:
        raise InputError(f"cannot read {where}: {system_reason(error)}") from error
    return sorted({_absolute(base / line) for line in lines if Path(line).name})


def _absolute(path: Path) -> Path:
    """Return an absolute path; links stay, since label files lie beside the link, not beside its target."""
    return Path(os.path.abspath(path))


def _labels(image: Path, names: dict[int, str], faults: list[str]) -> tuple[str, ...] | None:
    """Return the classes of an image, none without a label file; None where the file is damaged."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    file = Path(*parts).with_suffix(".txt")
    if not os.path.isfile(file):
        return ()
    held: dict[str, None] = {}
    try:
        lines = read_regular(file, limit=MOST_NAMES).decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        faults.append(f"{file.name}: {error}")
        return None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        first = line.split()[0]
        index = int(first) if first.isascii() and first.isdecimal() and len(first) < 10 else -1
        if index < 0 or (names and index not in names):
            faults.append(f"{file.name} line {number}: {first!r:.20} is not the number of a class")
            return None
        held[names.get(index, str(index))] = None
    return tuple(held)
