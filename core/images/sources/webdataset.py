"""Images in tar archives of the WebDataset form."""

import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from inficond.core.errors import InputError, printable
from inficond.core.file_access import open_regular, read_regular
from inficond.core.images.decode import UnreadableImage
from inficond.core.images.signatures import UNREAD_SUFFIXES
from inficond.core.images.sources.classes import alike, folder_labels
from inficond.core.images.sources.record import MOST_BYTES, ImageRecord, Note, Split, split_of_file
from inficond.core.images.walk import SUFFIXES, SYSTEM_FOLDERS
from inficond.core.strict_json import parse_json
from inficond.core.tables import decode_text
from inficond.core.tables.cells import class_name

LABEL_KEYS = ("class", "label", "class_name", "label_name", "labels", "classes", "category", "tags")
"""Fields of a sample's JSON that hold its label, best first."""
NAME_FILES = ("classnames.txt", "classes.txt", "labels.txt")
"""Files beside the archives that list the names of numbered classes."""
_PIECE = re.compile(r"[-_. ][a-z]{1,2}$", re.IGNORECASE)
_MAX_TEXT = 1 << 20
_MAX_NAMES = 16 << 20


class TarImages:
    """Samples of tar archives: files with the same name up to the first dot.

    Labels are in ``.cls``, ``.json`` or ``.txt``; in archives without them, folders are classes and splits as
    in a folder of images (`folder_labels`). Archives without folders are classes themselves if they are named
    by class, as those of ImageNet are.

    Parameters
    ----------
    paths : sequence of Path
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self.notes: list[str] = []
        self.rule = ""

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        samples: list[tuple[Path, str, _Sample]] = []
        times = {path: path.stat().st_mtime_ns for path in self._paths if path.exists()}
        for path in self._paths:
            if path.exists():
                samples += [(path, key, sample) for key, sample in _index(path, note)]
            else:
                note(path.name, "cannot be read: there is no such file")
        pictured = [(path, key, s) for path, key, s in samples if s.image is not None]
        if not pictured:
            raise InputError(f"no images in {self._paths[0]}{', …' if len(self._paths) > 1 else ''}")
        for path, key, sample in samples:
            if sample.image is None and not sample.noted:
                note(f"{path.name}#{key}", "a sample without an image")
        labels = self._labels([sample for _, _, sample in pictured])
        names = [key + s.suffix for _, key, s in pictured]
        several = len(set(names)) < len(names)
        splits: list[Split | None] = [split_of_file(path) for path, _, _ in pictured]
        if not self.rule:
            archives = [path.stem for path, _, _ in pictured]
            by_archive = _are_named_by_class(archives, names)
            found = folder_labels([f"{a}/{n}" for a, n in zip(archives, names)] if by_archive else names)
            labels = [None if label is None else (label,) for label in found.labels]
            splits = found.splits if any(found.splits) else splits
            self.rule = "archives named by class" if by_archive and found.rule else found.rule
            self.notes += alike(found.folders)
        varied = len(set(splits)) > 1
        self.notes.append(f"{len(self._paths):,} tar archive(s): {len(pictured):,} samples with an image")
        for (path, key, sample), held, split in zip(pictured, labels, splits):
            assert sample.image is not None
            offset, size = sample.image
            yield ImageRecord(
                f"{path.stem}/{key}{sample.suffix}" if several else f"{key}{sample.suffix}",
                split=split if varied else None,
                labels=held,
                load=lambda path=path, at=offset, n=size, when=times[path]: _read(path, at, n, when),  # type: ignore[misc]
                location=f"{path}#{key}{sample.suffix}",
                size=size,
                version=f"{times[path]} {offset}",
            )

    def _labels(self, samples: list["_Sample"]) -> list[tuple[str, ...] | None]:
        """Return labels from `.cls`, `.json` or `.txt`, the first of them that the samples have."""
        by_json = [_json_labels(s.texts.get("json")) for s in samples]
        classes = [s.texts.get("cls") for s in samples]
        texts = [s.texts.get("txt") for s in samples]
        if any(text is not None for text in classes):
            self.rule = "classes in .cls"
            names = self._class_names()
            return [None if text is None else (_named(class_name(text), names),) for text in classes]
        if any(held is not None for held in by_json):
            self.rule = "classes in .json"
            return by_json
        counts = Counter(text for text in texts if text is not None)
        if counts and len(counts) <= max(2, sum(counts.values()) / 2):
            self.rule = "classes in .txt"
            return [None if text is None else (class_name(text),) for text in texts]
        if counts:
            self.notes.append("texts in .txt differ for most samples; they are captions, not classes")
        return [None] * len(samples)

    def _class_names(self) -> list[str]:
        for folder in dict.fromkeys(path.parent for path in self._paths):
            for name in NAME_FILES:
                try:
                    content = read_regular(folder / name, limit=_MAX_NAMES)
                except FileNotFoundError:
                    continue
                except InputError as error:  # a pipe, or a file that is too large for names
                    self.notes.append(f"not used: {error}")
                    continue
                except OSError as error:
                    raise InputError(f"cannot read {folder / name}: {error.strerror}") from error
                lines = decode_text(content, folder / name)[0].splitlines()
                self.notes.append(f"names of classes in {name}")
                return [line.strip() for line in lines if line.strip()]
        return []


def _are_named_by_class(archives: Sequence[str], names: Sequence[str]) -> bool:
    """Whether archives without folders are classes, not pieces of a data set.

    Either all images begin with the name of their archive (``n01440764_10026.JPEG`` in ``n01440764.tar``), or
    the archives have names without digits that do not end in the letters of a piece (``part-ab.tar``).

    Parameters
    ----------
    archives : sequence of str
        The archive of each image, without ``.tar``.
    names : sequence of str
        The images.
    """
    if any("/" in name for name in names):
        return False
    if all(name.startswith(f"{archive}_") for archive, name in zip(archives, names)):
        return True
    different = set(archives)
    pieces = {_PIECE.sub("", archive) for archive in different}
    return len(pieces) == len(different) and not any(map(str.isdigit, "".join(different)))


class _Sample:
    """Image and texts of a sample."""

    def __init__(self) -> None:
        self.image: tuple[int, int] | None = None
        self.suffix = ""
        self.others: list[tuple[str, tuple[int, int]]] = []
        """Ending and place of further images."""
        self.texts: dict[str, str] = {}
        self.noted = False


def _index(path: Path, note: Note) -> Iterator[tuple[str, _Sample]]:
    """Return the samples of an archive; the rest of a damaged archive is left out.

    In an archive without classes and texts, each image is a sample of its own: names may contain dots.
    """
    if path.suffix.lower() in (".gz", ".tgz", ".bz2", ".xz") or _is_compressed(path):
        raise InputError(f"{path} is compressed, so that images cannot be read one by one: decompress it")
    samples: dict[str, _Sample] = {}
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            length = os.fstat(file.fileno()).st_size
            for member in archive:
                name = PurePosixPath(member.name)
                if name.name.startswith(".") or SYSTEM_FOLDERS.intersection(
                    map(str.casefold, name.parts[:-1])
                ):
                    continue
                if not member.isfile():
                    if name.suffix.lower() in SUFFIXES:
                        note(f"{path.name}#{printable(member.name)}", "a link inside the archive: left out")
                    continue
                if name.is_absolute() or ".." in name.parts or not member.name.isprintable():
                    note(path.name, f"the name of the member {member.name!r:.80} is not usable: left out")
                    continue
                stem, _, ending = name.name.partition(".")
                key = (name.parent / stem).as_posix()
                if member.offset_data + member.size > length:
                    raise tarfile.ReadError("unexpected end of data")
                sample = samples.setdefault(key, _Sample())
                suffix = f".{ending.rpartition('.')[2].lower()}"
                place = member.offset_data, member.size
                if suffix in SUFFIXES and sample.image is None:
                    sample.image, sample.suffix = place, f".{ending}"
                elif suffix in SUFFIXES:
                    sample.others.append((f".{ending}", place))
                elif suffix in UNREAD_SUFFIXES:
                    sample.noted = True
                    note(
                        f"{path.name}#{member.name}", f"{UNREAD_SUFFIXES[suffix]}; convert it to JPEG or PNG"
                    )
                elif ending.lower() in ("cls", "json", "txt") and member.size <= _MAX_TEXT:
                    content = archive.extractfile(member)
                    assert content is not None
                    try:
                        text, _ = decode_text(content.read(), f"{path.name}#{member.name}")
                    except InputError as error:
                        note(f"{path.name}#{member.name}", f"not read: {error}")
                        continue
                    sample.texts[ending.lower()] = text.strip()
    except (tarfile.TarError, OSError, EOFError) as error:
        if not samples:
            raise InputError(
                f"{path} cannot be read as a tar archive ({error}): copy or download it again"
            ) from error
        note(path.name, f"damaged after {len(samples):,} samples ({error}); they are used")
    plain = not any(sample.texts for sample in samples.values() if sample.image is not None)
    for key, sample in samples.items():
        yield key, sample
        for ending, place in sample.others:
            if plain:
                other = _Sample()
                other.image, other.suffix = place, ending
                yield key, other
            else:
                note(f"{path.name}#{key}{ending}", "a further image of its sample: left out")


def _is_compressed(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
    except OSError:  # the archive is read, and its fault reported, later
        return False


def _read(path: Path, offset: int, size: int, modified: int) -> bytes:
    if size > MOST_BYTES:
        raise UnreadableImage(f"larger than {MOST_BYTES >> 20} MiB")
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_mtime_ns != modified:
            raise UnreadableImage("cannot be read: the archive has changed since it was searched")
        file.seek(offset, os.SEEK_SET)
        data = file.read(size)
    if len(data) < size:
        raise UnreadableImage("truncated archive")
    return data


def _json_labels(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    try:
        fields = parse_json(text)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    value = next((fields[key] for key in LABEL_KEYS if key in fields), None)
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(v, str | int) for v in values):
        return None
    return tuple(class_name(v if isinstance(v, str) else json.dumps(v)) for v in values)


def _named(text: str, names: Sequence[str]) -> str:
    number = int(text) if text.isdecimal() and len(text) < 10 else len(names)
    return names[number] if number < len(names) else text
