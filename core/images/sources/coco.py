"""Images with COCO annotations, as multi-label truth."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import MOST_GIVEN, read_given, read_regular
from inficond.core.images.sources.record import ImageRecord, Note, split_of
from inficond.core.images.walk import relative_name
from inficond.core.strict_json import parse_json
from inficond.core.tables.encoding import decode_text

_PROBED = 20
"""Images that are looked for when the folder of the images is found."""


class CocoImages:
    """Images of COCO annotation files; a category holds where an image has an annotation of it.

    Parameters
    ----------
    files : sequence of Path
        Annotation files.
    root : Path, optional
        Folder that ids are relative to; that of the images by default.
    """

    def __init__(self, files: Sequence[Path], root: Path | None = None) -> None:
        self._files, self._root = list(files), root
        self.notes: list[str] = []
        self.rule = "categories"

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        splits = {file: split_of_name(file) for file in self._files}
        varied = len(set(splits.values())) > 1
        for file in self._files:
            labels, faults = coco_labels(file)
            folder = _image_folder(file, list(labels))
            root = self._root if self._root and folder.is_relative_to(self._root) else folder
            homes = _homes(file, root)
            empty = sum(not held for held in labels.values())
            self.notes.append(
                f"{file.name}: {len(labels):,} images in {folder}"
                + (f", {empty:,} of them without an annotation: no category holds" if empty else "")
                + (f"; {faults}" if faults else "")
            )
            for name, held in labels.items():
                path = Path(os.path.normpath(folder / name))
                home = next((home for home in homes if path.is_relative_to(home)), None)
                if home is None:
                    note(name, f"named in {file.name}, but outside of the data set: left out")
                    continue
                if not os.path.isfile(path):
                    note(relative_name(path, home), f"cannot be read: named in {file.name}, but not there")
                    continue
                yield ImageRecord(
                    relative_name(path, home), path, split=splits[file] if varied else None, labels=held
                )


def coco_labels(file: Path) -> tuple[dict[str, tuple[str, ...]], str]:
    """Read the categories of the images of a COCO annotation file.

    Parameters
    ----------
    file : Path

    Returns
    -------
    labels : dict
        File name of an image -> names of its categories.
    faults : str
        Description of ignored entries; empty if there are none.

    Raises
    ------
    InputError
        The file cannot be read, or is not of this form.
    """
    try:
        data = parse_json(decode_text(read_given(file), file)[0])
    except OSError as error:
        raise InputError(f"cannot read {file}: {system_reason(error)}") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}; correct it there, or export it again") from error
    if not is_coco(data):
        raise InputError(
            f"{file} is not a COCO file with images, annotations and categories: export or rename it"
        )
    try:
        names = {c["id"]: str(c["name"]).strip() for c in data["categories"]}
        images = {i["id"]: str(i["file_name"]).replace("\\", "/") for i in data["images"]}
        held: defaultdict[Any, dict[str, None]] = defaultdict(dict)
        strangers = 0
        for annotation in data["annotations"]:
            name = names.get(annotation.get("category_id"))
            if name is None or annotation["image_id"] not in images:
                strangers += 1
            else:
                held[annotation["image_id"]][name] = None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is damaged: an entry lacks {error}") from error
    faults = f"{strangers:,} annotations of unknown images or categories ignored" if strangers else ""
    return {images[id]: tuple(held[id]) for id in images}, faults


def is_coco(data: Any) -> bool:
    """Return whether a JSON document has the lists of a COCO file with categories."""
    return isinstance(data, dict) and all(
        isinstance(data.get(key), list) for key in ("images", "annotations", "categories")
    )


def annotation_files(folder: Path) -> list[Path]:
    """Return the COCO annotation files of a data set folder, in the usual places."""
    exported = sorted([*folder.glob("_annotations.coco.json"), *folder.glob("*/_annotations.coco.json")])
    if exported:
        return exported
    found = sorted(folder.glob("annotations/*.json"))
    instances = [file for file in found if file.name.startswith("instances")]
    return instances or [file for file in found if is_coco_file(file)]


def is_coco_file(file: Path) -> bool:
    """Return whether a file is a COCO annotation file with categories."""
    try:
        return is_coco(parse_json(decode_text(read_regular(file, limit=MOST_GIVEN), file)[0]))
    except (OSError, ValueError):
        return False


def split_of_name(file: Path) -> Any:
    """Return the split that the name of an annotation file or its folder holds."""
    words = re.split(r"[^a-z]+", file.stem.lower())
    found = [split for split in map(split_of, words) if split]
    return found[-1] if found else split_of(file.parent.name)


def _homes(file: Path, root: Path) -> list[Path]:
    """Return the folders that may hold the images of an annotation file, whose author may name any file."""
    home = file.resolve().parent
    return [root, home, *([home.parent] if home.name == "annotations" else [])]


def _image_folder(file: Path, names: Sequence[str]) -> Path:
    """Return the folder below which the images of an annotation file lie."""
    part = file.stem.rpartition("_")[2]
    home = file.resolve().parent
    places = [
        base / inner
        for base in (home, home.parent)
        for inner in ("", "images", part, f"images/{part}", re.sub(r"\d+$", "", part))
    ]
    probes = names[:: max(1, len(names) // _PROBED)]
    best = max(places, key=lambda place: sum(os.path.isfile(place / name) for name in probes))
    if not probes or not any(os.path.isfile(best / name) for name in probes):
        first = names[0] if names else "nothing"
        raise InputError(f"{file} names {first!r:.80}, but no such image lies in {home} or beside it")
    return best
