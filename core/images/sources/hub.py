"""Data sets of the Hugging Face hub and of its `datasets` library."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute creates its functions when it is imported.

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from inficond.core.errors import InputError
from inficond.core.file_access import read_regular
from inficond.core.images.decode import UnreadableImage
from inficond.core.images.sources.memory import Spool
from inficond.core.images.sources.record import (
    MOST_BYTES,
    ImageRecord,
    Note,
    Split,
    relative_ids,
    split_of,
    unique_ids,
)
from inficond.core.tables import TableOptions
from inficond.core.tables.cells import class_name
from inficond.core.tables.names import CLASS_COLUMNS, IMAGE_COLUMNS, normal_name

_FORM = "hf:OWNER/NAME?config=…&split=…&revision=…&streaming=1"


class HubImages:
    """Images of a data set that `datasets.load_dataset` loads.

    Parameters
    ----------
    name : str
        A hub id or a local folder, with optional ``?config=…&split=…&revision=…&streaming=1``.
    options : TableOptions
    """

    def __init__(self, name: str, options: TableOptions) -> None:
        self._id, _, query = name.partition("?")
        self._options = options
        self._choices = {key: values[-1] for key, values in parse_qs(query).items()}
        wrong = set(self._choices) - {"config", "split", "revision", "streaming"}
        if wrong or not self._id:
            raise InputError(f"hf:{name}: write {_FORM}")
        self.notes: list[str] = []
        self.rule = ""

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        parts = self._loaded()
        features = next(iter(parts.values())).features or {}
        image = self._image_column(features)
        label = self._label_column(features)
        self.rule = f"classes in column {label!r}" if label else ""
        columns = f"images in column {image!r}" + (f", {self.rule}" if label else "")
        rows: list[tuple[str, Split | None, tuple[str, ...] | None, Any, str]] = []
        spool = Spool() if self._choices.get("streaming") else None
        for part, data in parts.items():
            rows += self._rows(data, image, label, features, split_of(part), spool)
        self.notes.append(f"hf:{self._id}: {', '.join(parts)}; {len(rows):,} rows; {columns}")
        names = [name for name, *_ in rows]
        if names and all(Path(name).is_absolute() for name in names):
            names = relative_ids(names)
        ids = unique_ids(names, [labels for _, _, labels, _, _ in rows])
        varied = len({split for _, split, *_ in rows}) > 1
        for id, (_, split, labels, load, version) in zip(ids, rows):
            yield ImageRecord(
                id,
                split=split if varied else None,
                labels=labels,
                load=load,
                location=f"hf:{self._id}#{id}",
                version=version,
            )

    def _loaded(self) -> dict[str, Any]:
        try:
            import datasets
        except ImportError:
            raise InputError(
                f'hf:{self._id}: data sets of the hub need the extra `data` (pip install "inficond[data]")'
            ) from None
        datasets.disable_progress_bars()
        try:
            with _without_retry_warnings():
                found = datasets.load_dataset(
                    self._id,
                    self._choices.get("config"),
                    split=self._choices.get("split"),
                    revision=self._choices.get("revision"),
                    streaming=bool(self._choices.get("streaming")),
                )
        except Exception as error:  # the library raises types of many other libraries
            raise InputError(f"hf:{self._id} cannot be loaded: {_reason(error)}") from error
        if isinstance(found, dict):
            return {str(split): part for split, part in found.items()}
        return {str(found.split or "data"): found}

    def _image_column(self, features: Any) -> str:
        import datasets

        found = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
        for name in self._options.image_columns:
            if name in found:
                return name
        if self._options.image_columns or not found:
            shown = ", ".join(features) or "none"
            advice = f"images are in {', '.join(found)}" if found else "none of them holds images"
            raise InputError(f"hf:{self._id}: no image column; its columns are {shown}; {advice}")
        usual = [c for name in IMAGE_COLUMNS for c in found if normal_name(c) == name]
        if len(found) > 1 and not usual:
            shown = " or ".join(map(repr, found))
            raise InputError(f"hf:{self._id}: the images are in {shown}; choose with --image-column")
        return (usual or found)[0]

    def _label_column(self, features: Any) -> str | None:
        import datasets

        for name in self._options.label_columns:
            if name in features:
                return name
        if self._options.label_columns:
            raise InputError(
                f"hf:{self._id}: no column {self._options.label_columns[0]!r} (--label-column); it has "
                f"{', '.join(features)}"
            )
        found = [name for name, feature in features.items() if _class_label(feature) is not None]
        usual = [n for n in found if normal_name(n) in CLASS_COLUMNS]
        text = [
            n
            for n, f in features.items()
            if normal_name(n) in CLASS_COLUMNS and isinstance(f, datasets.Value) and f.dtype == "string"
        ]
        for candidates in (usual, found, text):
            if len(candidates) == 1:
                return candidates[0]
            if candidates:
                shown = " or ".join(map(repr, candidates))
                raise InputError(f"hf:{self._id}: the labels are in {shown}; choose with --label-column")
        return None

    def _rows(
        self,
        data: Any,
        image: str,
        label: str | None,
        features: Any,
        split: Split | None,
        spool: Spool | None,
    ) -> Iterator[tuple[str, Split | None, tuple[str, ...] | None, Any, str]]:
        import datasets

        undecoded = data.cast_column(image, datasets.Image(decode=False))
        names = _class_label(features[label]) if label else None
        if spool is not None:
            for row in undecoded:
                at = spool.add(self._checked_content(row[image]))
                name = Path(row[image].get("path") or "").name
                yield name, split, _labels(row.get(label), names), lambda at=at: spool.read(*at), str(at)
            return
        light = undecoded.select_columns([label]) if label else None
        version = str(getattr(data, "_fingerprint", ""))
        paths = _paths(undecoded, image)
        for i, path in enumerate(paths):
            value = light[i][label] if light is not None else None
            yield (
                path,
                split,
                _labels(value, names),
                lambda i=i: self._checked_content(undecoded[i][image]),
                f"{version} {i}",
            )

    def _checked_content(self, cell: Any) -> bytes:
        """Return a picture's bytes; a path leads into the library's cache or a local data set only."""
        import datasets

        path = (cell or {}).get("path")
        if path and cell.get("bytes") is None:
            caches = datasets.config.HF_CACHE_HOME, datasets.config.HF_DATASETS_CACHE, self._id
            target = Path(os.path.realpath(path))
            if not any(target.is_relative_to(os.path.realpath(cache)) for cache in caches):
                raise UnreadableImage("its path leads out of the data set")
        return _content(cell)


@contextmanager
def _without_retry_warnings() -> Iterator[None]:
    """Hide the two lines that the library writes for each of five attempts to reach the hub."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _paths(data: Any, image: str) -> list[str]:
    """Return the paths of all images, without reading their bytes."""
    import pyarrow.compute as pc

    table = data.select_columns([image]).with_format("arrow")
    paths: list[str] = []
    for batch in table.iter(256):
        paths += [path or "" for path in pc.struct_field(batch.column(image), "path").to_pylist()]
    return paths


def _content(cell: Any) -> bytes:
    if cell is None or (cell.get("bytes") is None and not cell.get("path")):
        raise UnreadableImage("no picture in this row")
    if cell.get("bytes") is not None:
        return cell["bytes"]
    return read_regular(Path(cell["path"]), limit=MOST_BYTES)


def _class_label(feature: Any) -> list[str] | None:
    inner = getattr(feature, "feature", feature)
    return list(inner.names) if hasattr(inner, "names") and hasattr(inner, "int2str") else None


def _labels(value: Any, names: list[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    if names is not None:
        values = [names[v] for v in values if isinstance(v, int) and 0 <= v < len(names)]
        return tuple(values) if values or isinstance(value, list) else None
    return tuple(class_name(str(v)) for v in values)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    if "save_to_disk" in text:
        return "it was written by `save_to_disk`; name its folder without hf:"
    if "gated" in text.lower() or "401" in text or "403" in text:
        return f"access is restricted; accept its terms and log in with `hf auth login` ({text})"
    return text or type(error).__name__
