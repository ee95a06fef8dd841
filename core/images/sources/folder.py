"""Images of a folder: class folders, split folders, ImageFolder metadata."""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.images.sources.classes import alike, folder_labels
from inficond.core.images.sources.record import ImageRecord, Note
from inficond.core.images.sources.tables import RowFacts, row_facts
from inficond.core.images.walk import SYSTEM_FOLDERS, relative_name, walk
from inficond.core.tables import TableOptions, read_table

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Tables of ImageFolder data sets, beside the images that they describe."""

_TABLES = (".csv", ".tsv", ".jsonl", ".json", ".xlsx")
MOST_NAMED = 20
"""Folders without images that are named."""


class Folder:
    """The images of a folder and its subfolders.

    Parameters
    ----------
    root : Path
    options : TableOptions
        How metadata tables are read.
    """

    def __init__(self, root: Path, options: TableOptions) -> None:
        self.root, self._options = root, options
        self.notes: list[str] = []
        self.rule = ""

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        paths = {relative_name(path, self.root): path for path in walk(self.root, note)}
        ids = sorted(paths)
        empty = self._empty_folders({id.rpartition("/")[0] for id in ids})
        found = folder_labels(ids, empty)
        self.rule = found.rule
        records = [
            ImageRecord(id, paths[id], split=split, labels=None if label is None else (label,))
            for id, label, split in zip(ids, found.labels, found.splits)
        ]
        if found.rule:
            records = self._grouped(records)
            self.notes += alike(found.folders)
            for folder in empty:
                self.notes.append(f"class folder {folder!r:.80} holds no image")
            for folder in self._without_images(ids, found.folders):
                self.notes.append(
                    f"folder {folder!r:.80} beside the class folders holds no image that is read"
                )
        yield from self._with_metadata(records)

    def _empty_folders(self, used: set[str]) -> list[str]:
        """Return folders on the level of the classes that hold no image."""
        levels = {folder.count("/") for folder in used if folder}
        holding = {
            "/".join(folder.split("/")[:n]) for folder in used for n in range(1, folder.count("/") + 2)
        }
        if not levels:
            return []
        parents = {parent for folder in holding for parent in [folder.rpartition("/")[0]]}
        found = []
        for parent in sorted(parents):
            for child in _children(self.root / parent):
                name = relative_name(child, self.root)
                if name not in holding and child.is_dir() and not any(_children(child)):
                    found.append(name)
        return found

    def _without_images(self, ids: Sequence[str], classes: frozenset[str]) -> list[str]:
        """Return folders beside class folders that hold files, but no image that is read."""
        holding = {
            "/".join(parts[:n]) for id in ids for parts in [id.split("/")] for n in range(1, len(parts))
        }
        parents = {name.rpartition("/")[0] for name in holding if name.rpartition("/")[2] in classes}
        found = []
        for parent in sorted(parents):
            for child in _children(self.root / parent):
                name = relative_name(child, self.root)
                if name not in holding and child.is_dir() and child.name.casefold() not in SYSTEM_FOLDERS:
                    found += [name] * any(_children(child))
        return found[:MOST_NAMED]

    def _grouped(self, records: list[ImageRecord]) -> list[ImageRecord]:
        """Put copies of one file that lie in several class folders into one group, and report them."""
        by_size: defaultdict[int, list[int]] = defaultdict(list)
        for i, record in enumerate(records):
            assert record.path is not None
            try:
                by_size[record.path.stat().st_size].append(i)
            except OSError:
                continue
        pairs = []
        for same in by_size.values():
            if len({records[i].labels for i in same}) < 2:
                continue
            by_content: defaultdict[str, list[int]] = defaultdict(list)
            for i in same:
                by_content[_digest(records[i].path)].append(i)
            for copies in by_content.values():
                if len({records[i].labels for i in copies}) > 1:
                    pairs.append([records[i].id for i in copies])
                    for i in copies:
                        records[i] = replace(records[i], group=f"copies of {records[copies[0]].id}")
        if pairs:
            self.notes.append(
                f"{len(pairs):,} photograph(s) in more than one class, first {pairs[0][0]!r:.80} and "
                f"{pairs[0][1]!r:.80}: kept together on one side of the split"
            )
        return records

    def _with_metadata(self, records: list[ImageRecord]) -> Iterator[ImageRecord]:
        """Return the records with labels, groups and splits of ImageFolder metadata, where there are any."""
        folders = sorted({record.id.rpartition("/")[0] for record in records} | {""})
        folders = sorted({*folders, *(parent for f in folders for parent in _parents(f))})
        facts: dict[str, RowFacts] = {}
        tables, unread = [], []
        for folder in folders:
            for name in METADATA:
                path = self.root / folder / name
                if path.is_file():
                    tables.append(path)
                    unread += [other for other in METADATA if (self.root / folder / other).is_file()][1:]
                    for fact in row_facts(read_table(path, self._options), self._options):
                        facts.setdefault(f"{folder}/{fact.name}".lstrip("/"), fact)
                    break
        if not facts:
            self.notes += [] if self.rule else _tables_beside(self.root)
            yield from records
            return
        if unread:
            self.notes.append(f"{unread[0]} is not read, because {tables[0].name} is there too")
        facts = _by_id(facts, [record.id for record in records])
        first = next(iter(facts.values()))
        self.rule = first.rule or self.rule
        known = {record.id for record in records}
        self.notes.append(
            f"metadata of {len(known & facts.keys()):,} of {len(known):,} images: {_names(tables)}"
        )
        absent = sorted(facts.keys() - known)
        if absent:
            self.notes.append(
                f"metadata of {len(absent):,} missing image(s) ignored, first {absent[0]!r:.80}"
            )
        for record in records:
            known_facts = facts.get(record.id)
            if known_facts is None:
                yield replace(record, labels=None) if first.rule else record
            else:
                yield replace(
                    record,
                    labels=known_facts.labels if first.rule else record.labels,
                    group=known_facts.group or record.group,
                    split=known_facts.split or record.split,
                )


def _by_id(facts: dict[str, RowFacts], ids: Sequence[str]) -> dict[str, RowFacts]:
    """Return the facts by id of the image, also where they differ in case, in Unicode form, or by ``\\``."""
    known = set(ids)
    if facts.keys() <= known:
        return facts
    same = Counter(map(_folded, facts)) + Counter(map(_folded, ids))
    by_form = {_folded(id): id for id in ids if id not in facts and same[_folded(id)] == 2}
    return {name if name in known else by_form.get(_folded(name), name): fact for name, fact in facts.items()}


def _folded(name: str) -> str:
    return posixpath.normpath(normalize("NFC", name.strip().replace("\\", "/")).casefold())


def _tables_beside(root: Path) -> list[str]:
    """Return a note on tables in a folder of images without labels."""
    found = [p.name for p in _children(root) if p.suffix.lower() in _TABLES and p.is_file()]
    if not found:
        return []
    return [f"{found[0]!r:.80} beside the images is read only where --labels or --teacher names it"]


def _digest(path: Path | None) -> str:
    assert path is not None
    try:
        return sha256_of(path)
    except OSError:
        return str(path)


def _children(folder: Path) -> list[Path]:
    """Return entries of a folder that are not hidden; a folder that cannot be read counts as not empty."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return [folder]


def _parents(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _names(paths: Sequence[Path]) -> str:
    if not paths:
        raise InputError("no metadata")
    return paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
