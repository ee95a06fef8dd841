"""Parsers of tables, lists of images, sources, pictures and archives."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image
from tests.fuzz import inputs
from tests.fuzz.harness import Parser
from tests.fuzz.inputs import content, documents, mangled, tables, texts, value
from tests.fuzz.registry import parser, plain_text
from tests.fuzz.workshop import Workshop, entry_of

from inficond.core.bundle import unpack
from inficond.core.concepts.corpus import LONGEST, MOST, read_corpus_file
from inficond.core.errors import InputError
from inficond.core.images import UnreadableImage, decode, find_images, open_source
from inficond.core.models.class_sets import class_set, read_classes
from inficond.core.models.tables import read_labels, read_responses
from inficond.core.pipeline.label_alignment import aligned_labels
from inficond.core.pipeline.shards import SourceFile

IDS = ["a.jpg", "b/c.png", "d.webp"]


def _table_holds(made: Any, given: Any, place: Path) -> None:
    n, c = len(made.images), len(made.classes)
    assert made.values.shape == (n, c)
    assert made.values.dtype == np.float32
    assert n > 0
    assert len(set(made.images)) == n
    assert len(set(made.classes)) == c
    assert all(plain_text(t) for t in (*made.images, *made.classes, *made.notes))
    rows = made.rows_for(IDS)
    assert ((rows >= -1) & (rows < n)).all()
    try:
        labels, notes = aligned_labels(made, IDS, ["boat", "bird"])
    except InputError:
        return
    assert labels is None or labels.shape == (3, 2)
    assert all(plain_text(note) for note in notes)


def _read(reader: Callable[[Path], Any]) -> Callable[[Any, Path], Any]:
    def parse(given: Any, place: Path) -> Any:
        path = place / ("table.parquet" if given[:4] == b"PAR1" else "table.csv")
        path.write_bytes(given)
        return reader(path)

    return parse


@parser("responses", 1.5)
def responses(shop: Workshop) -> Parser:
    def holds(made: Any, given: Any, place: Path) -> None:
        _table_holds(made, given, place)
        assert ((made.values >= 0) & (made.values <= 1)).all()

    headers = ["image,class,probability", "image,boat,bird", "path,boat", "Filename,boat,width"]
    rows = ["a.jpg,boat,0.5", "b/c.png,bird,1", "d.webp,,", "a.jpg,0.25,1", "a.jpg,boat,0.5"]
    return Parser(
        "responses", st.one_of(tables(headers, rows), columns()), _read(read_responses), holds, ("table.",)
    )


@parser("labels", 1.5)
def labels(shop: Workshop) -> Parser:
    def holds(made: Any, given: Any, place: Path) -> None:
        _table_holds(made, given, place)
        assert np.isin(made.values[~np.isnan(made.values)], (0.0, 1.0)).all()

    headers = ["image,class", "image,boat,bird", "image,label", "id,labels", "image,class,probability"]
    rows = ["a.jpg,boat", "b/c.png,bird|boat;barn", "d.webp,", "a.jpg,1,0", "b/c.png,yes,no", "a.jpg,bird"]
    return Parser(
        "labels", st.one_of(tables(headers, rows), columns()), _read(read_labels), holds, ("table.",)
    )


_KINDS: tuple[Any, ...] = (
    pa.string(), pa.binary(), pa.float64(), pa.float32(), pa.int64(), pa.bool_(), pa.timestamp("ns"),
    pa.null(),
    pa.date64(), pa.decimal256(60, 2), pa.list_(pa.string()), pa.struct([("a", pa.int8())]), pa.time32("s"),
    pa.large_string(),
    pa.dictionary(pa.int8(), pa.string()), pa.duration("s"), pa.float16(),
)  # fmt: skip
_COLUMN_NAMES = (
    "image",
    "path",
    "class",
    "probability",
    "label",
    "boat",
    "bird",
    "split",
    "Image",
    "",
    "a\udfff",
    "image ",
)


@st.composite
def columns(draw: st.DrawFn) -> bytes:
    """A Parquet file of any columns, with or without changed bytes."""
    arrays, names = [], []
    n = draw(st.integers(0, 3))
    for name in draw(st.lists(st.sampled_from(_COLUMN_NAMES), max_size=4)):
        kind = draw(st.sampled_from(_KINDS))
        given = draw(
            st.lists(
                st.sampled_from(["a.jpg", b"b/c.png", 1, 0.5, None, True, "boat", 2**62]),
                min_size=n,
                max_size=n,
            )
        )
        try:
            array = pa.array(given, kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            array = pa.nulls(n, kind)
        arrays.append(array)
        names.append(name)
    if draw(st.booleans()) and n:  # Parquet readers do not check that text is UTF-8
        offsets = pa.py_buffer(np.arange(n + 1, dtype=np.int32).tobytes())
        arrays.append(pa.Array.from_buffers(pa.string(), n, [None, offsets, pa.py_buffer(b"\xff\xfe\x80")]))
        names.append(draw(st.sampled_from(_COLUMN_NAMES)))
    buffer = io.BytesIO()
    try:
        pq.write_table(
            pa.Table.from_arrays(arrays, [n.encode("utf-8", "replace").decode() for n in names]), buffer
        )
    except (pa.ArrowException, ValueError):
        pq.write_table(pa.table({"image": ["a.jpg"], "boat": [0.5]}), buffer)
    data = buffer.getvalue()
    return inputs.edited(data, draw(inputs.edits(3))) if draw(st.integers(0, 2)) == 1 else data


@parser("image list", 1.5)
def image_list(shop: Workshop) -> Parser:
    def parse(given: Any, place: Path) -> Any:
        data, suffix = given
        path = place / f"list{suffix}"
        path.write_bytes(data)
        for name in ("a.jpg", "b/c.png"):  # a list of which no file exists is refused
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).touch()
        notes: list[tuple[str, str]] = []
        return find_images(path, lambda *said: notes.append(said)), notes

    def holds(made: Any, given: Any, place: Path) -> None:
        found, _ = made
        ids = [f.id for f in found]
        assert ids == sorted(set(ids))
        assert ids
        for file in found:
            assert file.path.is_absolute()
            assert ".." not in file.path.parts
            assert file.split in (None, "train", "val", "test")
            assert plain_text(file.id)
            SourceFile.of(file)

    headers = ["path", "path,group", "path,group,split", "split,path"]
    rows = ["a.jpg", "b/c.png,g1,train", "../d.webp,g2,val", "/x/y.jpg", "# no", "a.jpg,,"]
    given = st.tuples(tables(headers, rows), st.sampled_from([".csv", ".csv", ".txt", ".tsv", ""]))
    return Parser("image list", given, parse, holds, ("list",))


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b/c.png"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 3}],
    "categories": [{"id": 3, "name": "boat"}, {"id": 4, "name": "bird"}],
}
YAML = b"path: .\ntrain: images\nval: [images, x.txt]\nnames:\n  0: boat\n  1: bird\n"


def _tar() -> bytes:
    """A small WebDataset archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in {
            "a.jpg": b"x" * 600,
            "a.cls": b"1",
            "b/c.png": b"y",
            "b/c.json": b'{"label": "boat"}',
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@parser("image source", 2)
def image_source(shop: Workshop) -> Parser:
    """Archives, annotations and Parquet files with images."""

    def parse(given: Any, place: Path) -> Any:
        suffix, data = given
        (place / "images" / "b").mkdir(parents=True)
        for name in IDS[:2]:
            (place / "images" / name).write_bytes(b"x")
        path = place / f"source{suffix}"
        path.write_bytes(content(data))
        notes: list[tuple[str, str]] = []
        return open_source(path, lambda *said: notes.append(said)), notes

    def holds(made: Any, given: Any, place: Path) -> None:
        images, notes = made
        ids = [record.id for record in images.records]
        assert ids == sorted(set(ids))
        assert ids
        for record in images.records:
            assert record.labels is None or all(isinstance(name, str) for name in record.labels)
            SourceFile.of(record)
            try:
                record.open()
            except UnreadableImage:
                continue
        assert all(plain_text(note) for note in (*images.notes, *map(str, notes)))
        assert images.label_matrix().shape == (len(ids), len(images.classes))

    rows = [{"image": {"bytes": b"x", "path": "a.jpg"}, "label": "boat"}, {"image": None, "label": None}]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    given = st.one_of(
        st.tuples(st.just(".tar"), mangled([_tar()])),
        st.tuples(st.just(".parquet"), mangled([buffer.getvalue()]) | columns()),
        st.tuples(st.just(".json"), inputs.files([COCO])),
        st.tuples(st.just(".yaml"), mangled([YAML])),
        st.tuples(
            st.just(".jsonl"), mangled([b'{"file_name": "images/a.jpg", "label": ["boat", "bird"]}\n'])
        ),
    )
    return Parser("image source", given, parse, holds, ("source", "the YAML file", "images"))


@parser("classes", 1.5)
def classes(shop: Workshop) -> Parser:
    teacher = ["canoe", "gondola", "robin", "barn", "İ"]

    def parse(given: Any, place: Path) -> Any:
        (place / "classes.json").write_bytes(content(given))
        found = read_classes(place / "classes.json")
        assert isinstance(found, dict)
        try:
            return found, class_set(found, teacher, None)
        except InputError as error:
            if "teacher label" not in str(error):
                raise
            return found, None

    def holds(made: Any, given: Any, place: Path) -> None:
        found, chosen = made
        assert all(name == " ".join(name.split()) and 0 < len(name) <= 100 for name in found)
        assert all(labels and all(isinstance(one, str) for one in labels) for labels in found.values())
        assert all(name.isprintable() for name in found)
        (place / "again.json").write_text(json.dumps(found))
        assert read_classes(place / "again.json") == found
        if chosen is not None:
            said = chosen.responses(np.full((2, len(teacher)), 0.3, np.float32))
            assert ((said >= 0) & (said <= 1)).all()
            assert said.shape == (2, len(found))

    seeds = [{"boat": ["canoe", "gondola"], "bird": ["ROBIN"]}, ["canoe", "robin"], {"barn": "barn"}]
    return Parser("classes", inputs.files(seeds), parse, holds, ("classes.json",))


@parser("corpus", 1.5)
def corpus(shop: Workshop) -> Parser:
    def parse(given: Any, place: Path) -> Any:
        data, suffix = given
        path = place / f"words{suffix}"
        path.write_bytes(content(data))
        return read_corpus_file(path)

    def holds(made: Any, given: Any, place: Path) -> None:
        names = [c.name.casefold() for c in made]
        assert 0 < len(set(names)) == len(names) <= MOST
        for concept in made:
            for text in (concept.name, concept.group, *concept.prompts):
                assert text == " ".join(text.split())
                assert text.isprintable()
                assert 0 < len(text) <= LONGEST
        again = place / "again.json"
        again.write_text(json.dumps([{**vars(c), "prompts": list(c.prompts)} for c in made]))
        assert read_corpus_file(again) == made

    seeds = [
        ["sea", "sky"],
        {
            "concepts": [
                {"name": "sea", "group": "water", "prompts": ["the sea", "waves"], "lookup": False},
                "sky",
            ]
        },
    ]
    headers = ["name", "name,group", "name,group,prompts", "prompts,name"]
    rows = ["sea", "sky,air", "boat,things,a boat|boats", "# no", "Sea"]
    given = st.one_of(
        st.tuples(inputs.files(seeds), st.just(".json")),
        st.tuples(tables(headers, rows), st.sampled_from([".csv", ".csv", ".txt"])),
    )
    return Parser("corpus", given, parse, holds, ("words.",))


@parser("picture", 2)
def picture(shop: Workshop) -> Parser:
    def parse(given: bytes, place: Path) -> np.ndarray:
        path = place / "picture.jpg"
        path.write_bytes(given)
        return decode(path, 16 if given[-1:] < b"\x80" else None)

    def holds(made: np.ndarray, given: bytes, place: Path) -> None:
        assert made.dtype == np.uint8
        assert made.ndim == 3
        assert made.shape[2] == 3
        assert made.size > 0
        Image.fromarray(made)

    return Parser("picture", mangled(shop.pictures), parse, holds, ("",))


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A zip file such as `pack` makes, with other names, numbers and flags, with or without changed bytes."""
    members = {"zoo/project.json": b"{}", "zoo/regions/r.npy": b"\x93NUMPY", "zoo/empty": b""}
    names = list(members)
    for at, name in draw(st.lists(st.tuples(st.integers(0, 2), texts), max_size=2)):
        names[at] = str(value(name))[:70_000].encode("utf-8", "replace").decode().replace("\0", "")
    listing: Any = {n: entry_of(d) for n, d in zip(names, members.values())}
    listing = draw(
        inputs.one_in(
            2, st.just({"format": 1, "members": listing}), documents([{"format": 1, "members": listing}], 2)
        )
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", draw(st.sampled_from([zipfile.ZIP_STORED] * 4 + [zipfile.ZIP_DEFLATED]))
    ) as z:
        z.writestr("archive.json", content(listing))
        for name, data in zip(names, members.values()):
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.external_attr = draw(st.sampled_from([0, 0, 0o100644 << 16, 0o120777 << 16, 0o040755 << 16]))
            try:
                z.writestr(info, data)
            except (ValueError, OSError, zipfile.LargeZipFile, Exception):  # zip cannot store this name
                z.writestr(zipfile.ZipInfo("zoo/other"), data)
    data = buffer.getvalue()
    return inputs.edited(data, draw(inputs.edits(5))) if draw(st.integers(0, 2)) == 1 else data


@parser("archive", 1.5)
def archive(shop: Workshop) -> Parser:
    def parse(given: bytes, place: Path) -> list[Path]:
        (place / "packed.zip").write_bytes(given)
        try:
            return unpack(place / "packed.zip", place / "out")
        except InputError:
            assert not [p for p in place.rglob("*") if p.name not in ("packed.zip", "out")]
            raise

    def holds(made: list[Path], given: bytes, place: Path) -> None:
        with zipfile.ZipFile(io.BytesIO(given)) as z:
            listing = json.loads(z.read("archive.json"))["members"]
        found = {
            p.relative_to(place / "out").as_posix(): p for p in (place / "out").rglob("*") if p.is_file()
        }
        assert found.keys() == listing.keys()
        for name, path in found.items():
            assert not path.is_symlink()
            assert hashlib.sha256(path.read_bytes()).hexdigest() == listing[name]["sha256"]

    return Parser("archive", archives(), parse, holds, ("packed.zip", "out"))
