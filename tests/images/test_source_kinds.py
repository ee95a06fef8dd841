"""Every kind of source gives the same photographs: same labels, identical pixels."""

import functools
import http.server
import io
import json
import os
import re
import tarfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.images.test_sources import CLASSES, notes_of, photographs

from inficond.core.errors import InputError
from inficond.core.images import ImageSet, decode, open_source
from inficond.core.images.decode import UnreadableImage
from inficond.core.images.sources import remote
from inficond.core.images.sources.open import expand
from inficond.core.tables import TableOptions

Made = dict[str, str]


def rows_of(root: Path, made: Made, name: Callable[[str], str]) -> list[dict[str, object]]:
    return [
        {"image": {"bytes": (root / id).read_bytes(), "path": name(id)}, "label": CLASSES.index(label)}
        for id, label in made.items()
    ]


def arrow_table(root: Path, made: Made, name: Callable[[str], str] = lambda id: id) -> pa.Table:
    features = {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.Table.from_pylist(rows_of(root, made, name)).replace_schema_metadata(metadata)


def by_folder(root: Path, made: Made, at: Path) -> ImageSet:
    return open_source(root)


def by_csv(root: Path, made: Made, at: Path) -> ImageSet:
    (root / "t.csv").write_text("path,label\n" + "".join(f"{id},{c}\n" for id, c in made.items()))
    return open_source(root / "t.csv")


def by_jsonl(root: Path, made: Made, at: Path) -> ImageSet:
    lines = [json.dumps({"file_name": id, "label": c}) for id, c in made.items()]
    (root / "t.jsonl").write_text("\n".join(lines))
    return open_source(root / "t.jsonl")


def by_parquet(root: Path, made: Made, at: Path) -> ImageSet:
    pq.write_table(arrow_table(root, made), at / "t.parquet", row_group_size=5)
    return open_source(at / "t.parquet")


def by_parquet_of_file_names(root: Path, made: Made, at: Path) -> ImageSet:
    """Bare names as `push_to_hub` writes them, repeated in every class, in several files of a folder."""
    again = {id.replace(id[-7:], f"{i // 3:03d}.jpg"): (id, c) for i, (id, c) in enumerate(made.items())}
    for new, (old, _) in again.items():
        (root / old).rename(root / new)
    made.clear()
    made.update({new: c for new, (_, c) in again.items()})
    table = arrow_table(root, made, lambda id: id.rpartition("/")[2])
    (at / "data").mkdir()
    for part in range(3):
        pq.write_table(table.slice(4 * part, 4), at / "data" / f"train-{part:05d}-of-00003.parquet")
    return open_source(at)


def by_parquet_of_bytes(root: Path, made: Made, at: Path) -> ImageSet:
    rows = [{"jpg": (root / id).read_bytes(), "class": c, "id": i} for i, (id, c) in enumerate(made.items())]
    pq.write_table(pa.Table.from_pylist(rows), at / "t.parquet")
    return open_source(at / "t.parquet")


def by_feather(root: Path, made: Made, at: Path) -> ImageSet:
    pyarrow.feather.write_feather(arrow_table(root, made), at / "t.feather")
    return open_source(at / "t.feather")


def by_saved_data_set(root: Path, made: Made, at: Path) -> ImageSet:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}
    )
    rows = rows_of(root, made, lambda id: id)
    datasets.Dataset.from_list(rows, features=features).save_to_disk(at / "saved")
    return open_source(at / "saved")


def by_load_dataset(root: Path, made: Made, at: Path) -> ImageSet:
    datasets = pytest.importorskip("datasets")
    datasets.config.HF_DATASETS_CACHE = at / "cache"
    return open_source(f"hf:{root}")


def by_load_dataset_streaming(root: Path, made: Made, at: Path) -> ImageSet:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}
    )
    table = datasets.Dataset.from_list(rows_of(root, made, lambda id: id), features=features)
    table.to_parquet(at / "train.parquet")
    return open_source(f"hf:{at}?split=train&streaming=1")


def by_webdataset(root: Path, made: Made, at: Path) -> ImageSet:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(at / "train-%03d.tar"), maxcount=len(made) // 3, verbose=0) as sink:
        for id, c in made.items():
            key = id.removesuffix(".jpg")
            sink.write({"__key__": key, "jpg": (root / id).read_bytes(), "cls": CLASSES.index(c)})
    (at / "classnames.txt").write_text("\n".join(CLASSES))
    return open_source(str(at / "train-{000..002}.tar"))


def by_tar_with_json(root: Path, made: Made, at: Path) -> ImageSet:
    with tarfile.open(at / "t.tar", "w") as archive:
        for id, c in made.items():
            archive.add(root / id, id)
            data = json.dumps({"label": c, "caption": f"a {c}"}).encode()
            info = tarfile.TarInfo(id.replace(".jpg", ".json"))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return open_source(at / "t.tar")


def by_coco(root: Path, made: Made, at: Path) -> ImageSet:
    document = {
        "images": [{"id": i, "file_name": id, "width": 32, "height": 24} for i, id in enumerate(made)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": CLASSES.index(c) + 1, "bbox": [0, 0, 9, 9]}
            for i, c in enumerate(made.values())
        ],
        "categories": [{"id": c + 1, "name": name} for c, name in enumerate(CLASSES)],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_all.json").write_text(json.dumps(document))
    return open_source(root)


def by_yolo(root: Path, made: Made, at: Path) -> ImageSet:
    (at / "images").symlink_to(root)
    for id, c in made.items():
        label = at / "labels" / id.replace(".jpg", ".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"{CLASSES.index(c)} 0.5 0.5 0.2 0.2\n{CLASSES.index(c)} 0.1 0.1 0.1 0.1\n")
    (at / "data.yaml").write_text(f"train: images\nnames: [{', '.join(CLASSES)}]\n")
    return open_source(at)


def by_objects(root: Path, made: Made, at: Path) -> ImageSet:
    kinds = (lambda p: p, str, Path.read_bytes, lambda p: Image.open(p), lambda p: np.asarray(Image.open(p)))
    return open_source((kinds[i % 5](root / id), c) for i, (id, c) in enumerate(made.items()))


def by_url_of_folder(root: Path, made: Made, at: Path) -> ImageSet:
    return open_source(f"file://{root}")


DOORS = [
    by_folder, by_csv, by_jsonl, by_parquet, by_parquet_of_file_names, by_parquet_of_bytes, by_feather,
    by_saved_data_set, by_load_dataset, by_load_dataset_streaming, by_webdataset, by_tar_with_json, by_coco,
    by_yolo, by_objects, by_url_of_folder,
]  # fmt: skip
OTHER_IDS = {by_parquet_of_bytes, by_objects, by_yolo}
"""Doors through which the names of the files are not known, or lie below another folder."""


@pytest.mark.parametrize("door", DOORS)
def test_every_kind_of_source_gives_the_same_photographs(
    tmp_path: Path, door: Callable[[Path, Made, Path], ImageSet]
) -> None:
    made = photographs(tmp_path / "photos")
    (tmp_path / "at").mkdir()
    images = door(tmp_path / "photos", made, tmp_path / "at")
    assert images.classes == CLASSES
    ids = list(made) if door in OTHER_IDS else sorted(made)
    if door not in OTHER_IDS:
        assert [record.id for record in images.records] == ids
    elif door is by_yolo:
        ids = sorted(made)
    for record, id in zip(images.records, ids, strict=True):
        assert record.labels == (made[id],)
        np.testing.assert_array_equal(np.asarray(record.open().image), decode(tmp_path / "photos" / id))
        assert record.where
    assert len({(record.where, record.version) for record in images.records}) == len(made)


@contextmanager
def served(folder: Path, faults: dict[str, int] | None = None) -> Iterator[str]:
    """Serve a folder over HTTP on loopback; a path named in `faults` breaks off that many times."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.strip("/")
            body = folder / name
            if faults and faults.get(name, 0) > 0 and body.is_file():
                faults[name] -= 1
                self.send_response(200)
                self.send_header("Content-Length", str(body.stat().st_size))
                self.end_headers()
                self.wfile.write(body.read_bytes()[:100])
                self.close_connection = True
                return
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if span and body.is_file():
                part = body.read_bytes()[int(span[1]) : int(span[2]) + 1]
                self.send_response(206)
                self.send_header("Content-Length", str(len(part)))
                self.send_header("Content-Range", f"bytes {span[1]}-{span[2]}/{body.stat().st_size}")
                self.end_headers()
                self.wfile.write(part)
                return
            super().do_GET()

    with serving(functools.partial(Handler, directory=folder)) as url:
        yield url


@contextmanager
def serving(handler: Any) -> Iterator[str]:
    """Serve HTTP on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_url_of_a_folder_and_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(remote, "pause", lambda seconds: None)
    made = photographs(tmp_path / "photos")
    (tmp_path / "photos" / "t").mkdir()
    by_parquet(tmp_path / "photos", made, tmp_path / "photos" / "t")
    faults = {sorted(made)[0]: 2, "t/t.parquet": 1}
    with served(tmp_path / "photos", faults) as url:
        for spec in (url + "/", url + "/t/t.parquet"):
            images = open_source(spec, downloads=tmp_path / "downloads")
            assert [r.id for r in images.records] == sorted(made)
            assert [r.labels for r in images.records] == [(made[id],) for id in sorted(made)]
            for record in images.records:
                want = decode(tmp_path / "photos" / record.id)
                np.testing.assert_array_equal(np.asarray(record.open().image), want)
        with pytest.raises(InputError, match=r"nothing at .*nowhere\.tar"):
            open_source(url + "/nowhere.tar")
    assert faults == {sorted(made)[0]: 0, "t/t.parquet": 0}


def test_an_interrupted_download_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(remote, "pause", lambda seconds: None)
    monkeypatch.setattr(remote, "_BLOCK", 1000)
    content = np.random.default_rng(0).bytes(4500)
    (tmp_path / "a.tar").write_bytes(content)
    with served(tmp_path, {"a.tar": remote.ATTEMPTS}) as url:
        source = remote.Remote(url + "/a.tar")
        with pytest.raises(InputError, match=r"a\.tar cannot be read"):
            source.download(tmp_path / "kept")
        assert source.download(tmp_path / "kept").read_bytes() == content
        assert source.download(tmp_path / "kept").read_bytes() == content


def test_a_response_without_end_is_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's server filled the memory with one picture, or with an archive of unstated size."""
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(remote, "pause", lambda seconds: None)
    monkeypatch.setattr(remote, "MOST_BYTES", 3 << 20)
    monkeypatch.setattr(remote, "MOST_UNSTATED", 5 << 20)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            if self.path == "/set/":
                page = b'<a href="/set/a.jpg">a</a>'
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(page), page))
                return
            with suppress(OSError):
                while True:
                    self.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

    with serving(Handler) as url:
        (record,) = open_source(f"{url}/set/").records
        with pytest.raises(UnreadableImage, match="larger than 3 MiB"):
            record.open()
        assert remote.Remote(f"{url}/a.tar").download(tmp_path).stat().st_size == 5 << 20


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    """Through fsspec, a pipe among the images was read without end."""
    made = photographs(tmp_path / "photos")
    os.mkfifo(tmp_path / "photos" / "pipe.jpg")
    *images, pipe = sorted(
        open_source(f"file://{tmp_path / 'photos'}").records, key=lambda r: r.id == "pipe.jpg"
    )
    assert sorted(r.id for r in images) == sorted(made)
    with pytest.raises(UnreadableImage):
        pipe.open()


@pytest.mark.parametrize("text", ["{0..%s}.tar" % ("9" * 5000), "{a}" * 1500])
def test_impossible_patterns_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError):
        open_source(text)


def test_patterns() -> None:
    assert expand("x/{08..11}.tar") == []
    assert expand("/no-such-folder-*") == []


def test_split_of_archives_and_coco_files(tmp_path: Path) -> None:
    made = photographs(tmp_path / "photos")
    half = len(made) // 2
    for split, ids in (("train", list(made)[:half]), ("val", list(made)[half:])):
        with tarfile.open(tmp_path / f"{split}-000.tar", "w") as archive:
            for id in ids:
                archive.add(tmp_path / "photos" / id, id)
    images = open_source(str(tmp_path / "*.tar"))
    assert [r.split for r in images.records].count("train") == half
    assert images.classes == ("daisy", "rose", "tulip")


def tar_of(path: Path, members: dict[str, bytes], links: tuple[str, ...] = ()) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.LNKTYPE, next(iter(members))
            archive.addfile(info)
    return path


def test_names_with_dots_in_a_tar_without_classes_are_images(tmp_path: Path) -> None:
    members = {f"photo.{n}.jpg": b"x" for n in range(3)} | {
        "__MACOSX/photo.1.jpg": b"x",
        "._photo.1.jpg": b"x",
    }
    images, notes = notes_of(lambda note: open_source(tar_of(tmp_path / "t.tar", members), note))
    assert [r.id for r in images.records] == ["photo.0.jpg", "photo.1.jpg", "photo.2.jpg"]
    assert notes == {}


@pytest.mark.parametrize("root", ["", "./", "data/"])
def test_folders_inside_a_tar_are_classes_and_splits(tmp_path: Path, root: str) -> None:
    names = ["train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.b.jpg", "val/dog/3.jpg"]
    images = open_source(tar_of(tmp_path / "t.tar", {root + name: b"x" for name in names}))
    assert [(r.id, r.labels, r.split) for r in images.records] == [
        (root.removeprefix("./") + name, (name.split("/")[1],), name.split("/")[0]) for name in names
    ]


def test_folders_of_a_partitioned_data_set_are_classes(tmp_path: Path) -> None:
    for label, data in (
        ("label=cat", b"x"),
        ("label=a%20dog", b"y"),
        ("label=__HIVE_DEFAULT_PARTITION__", b"z"),
    ):
        (tmp_path / label).mkdir()
        pq.write_table(pa.table({"image": [data]}), tmp_path / label / "part-0.parquet")
    images = open_source(tmp_path)
    assert [r.labels for r in images.records] == [None, ("a dog",), ("cat",)]


@pytest.mark.parametrize(
    "name", ["A.JPG", "Mo\u0308we/b.jpg", "m\u00f6we\\b.jpg", "./Mo\u0308we/b.jpg"], ids=ascii
)
def test_metadata_in_another_spelling_of_the_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "M\u00f6we").mkdir()
    for path in ("a.jpg", "M\u00f6we/b.jpg"):
        Image.new("RGB", (20, 20)).save(tmp_path / path)
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{name},gull\nb.jpg,other\n", encoding="utf-8")
    labels = {r.id.lower(): r.labels for r in open_source(tmp_path).records}
    assert [id for id, held in labels.items() if held] == ["a.jpg" if name == "A.JPG" else "m\u00f6we/b.jpg"]
    assert ("gull",) in labels.values()


def test_tables_in_a_folder_that_are_not_read_are_named(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.jpg")
    (tmp_path / "truth.csv").write_text("image,label\na.jpg,cat\n")
    assert any(
        "'truth.csv' beside the images is read only where --labels or --teacher names it" in note
        for note in open_source(tmp_path).notes
    )
    (tmp_path / "metadata.csv").write_text("file_name,label\na.jpg,cat\n")
    (tmp_path / "metadata.jsonl").write_text("")
    assert "metadata.jsonl is not read, because metadata.csv is there too" in open_source(tmp_path).notes


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.tar", b"\x1f\x8b" + bytes(600), "is compressed, so that images cannot be read one by one"),
        ("t.txt", b"a.jpg 3\n", "each line holds a path and a label; let the name end in .csv"),
        ("t.csv", b"image\n/9j/4AAQSkZJRgABAQ==\n", "written as Base64 text; decode them into files"),
        ("t.tfrecord", bytes(9), "a file of TensorFlow records: write its pictures as JPEG or PNG files"),
        ("t.mp4", bytes(9), "a video: write its pictures"),
    ],
)
def test_pictures_in_a_form_that_is_not_read_are_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_source(tmp_path / name)


@pytest.mark.parametrize(
    ("archives", "classes"),
    [
        ({"n01440764": ["n01440764_1.JPEG"], "n01443537": ["n01443537_1.JPEG"]}, ("n01440764", "n01443537")),
        ({"cat": ["1.jpg", "2.jpg"], "dog": ["1.jpg"]}, ("cat", "dog")),
        ({"shard-aa": ["1.jpg"], "shard-ab": ["2.jpg"]}, ()),
        ({"images-000": ["1.jpg"], "images-001": ["2.jpg"]}, ()),
        ({"cat": ["a/1.jpg", "b/2.jpg"], "dog": ["a/3.jpg"]}, ("a", "b")),
        ({"train": ["1.jpg"], "val": ["2.jpg"]}, ()),
        ({"photos": ["photos_1.jpg", "photos_2.jpg"]}, ()),
    ],
)
@pytest.mark.parametrize("named", ["by folder", "by pattern"])
def test_archives_that_are_named_by_class_are_classes(
    archives: dict[str, list[str]], classes: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    for name, images in archives.items():
        tar_of(tmp_path / f"{name}.tar", dict.fromkeys(images, b"x"))
    found = open_source(tmp_path if named == "by folder" else str(tmp_path / "*.tar"))
    assert found.classes == classes
    if classes and "a" not in classes:
        assert any("2 archives named by class" in note for note in found.notes)
        assert {r.labels for r in found.records} == {(c,) for c in classes}


def test_labels_in_files_of_a_tar_are_preferred_to_its_folders(tmp_path: Path) -> None:
    members = {"a/1.jpg": b"x", "a/1.cls": b"cat", "b/2.jpg": b"x", "b/2.cls": b"dog"}
    assert open_source(tar_of(tmp_path / "t.tar", members)).classes == ("cat", "dog")
    alone = tar_of(tmp_path / "u.tar", {"only/1.jpg": b"x", "only/2.jpg": b"x"})
    assert open_source(alone).classes == ()


def test_every_image_of_a_tar_that_is_left_out_is_named(tmp_path: Path) -> None:
    members = {"0.jpg": b"x", "0.mask.png": b"x", "0.cls": b"1", "1.NEF": b"x", "1.cls": b"0"}
    path = tar_of(tmp_path / "t.tar", members, links=("2.jpg",))
    images, notes = notes_of(lambda note: open_source(path, note))
    assert [(r.id, r.labels) for r in images.records] == [("0.jpg", ("1",))]
    assert list(notes) == ["t.tar#1.NEF", "t.tar#2.jpg", "t.tar#0.mask.png"]


def test_names_of_numbered_classes_beside_a_tar_in_another_encoding(tmp_path: Path) -> None:
    tar_of(tmp_path / "t.tar", {"0.jpg": b"x", "0.cls": b"\xef\xbb\xbf1", "1.jpg": b"x", "1.cls": b"0"})
    (tmp_path / "classes.txt").write_bytes("Hund\r\nMöwe\r\n".encode("cp1252"))
    assert open_source(tmp_path / "t.tar").classes == ("Hund", "Möwe")


def test_classes_inside_a_tar_in_another_encoding(tmp_path: Path) -> None:
    members = {"0.jpg": b"x", "0.cls": "Möwe".encode("cp1252"), "1.jpg": b"x", "1.cls": b"\0\1\0"}
    images, notes = notes_of(lambda note: open_source(tar_of(tmp_path / "t.tar", members), note))
    assert [r.labels for r in images.records] == [("Möwe",), None]
    assert "t.tar#1.cls" in notes


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
def test_annotations_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.jpg")
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "Möwe"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(coco, ensure_ascii=False), encoding=encoding)
    assert open_source(tmp_path / "a.json").classes == ("Möwe",)
    for folder in ("images", "labels"):
        (tmp_path / "yolo" / folder).mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(tmp_path / "yolo" / "images" / "a.jpg")
    (tmp_path / "yolo" / "labels" / "a.txt").write_text("0 0.5 0.5 1 1\n")
    (tmp_path / "yolo" / "labels" / "classes.txt").write_text("Möwe\n", encoding=encoding)
    assert open_source(tmp_path / "yolo").classes == ("Möwe",)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(70), pa.binary_view()])
def test_pictures_in_every_kind_of_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    data = io.BytesIO()
    Image.new("L", (16, 16)).save(data, "PNG")
    cells = pa.array([data.getvalue().ljust(70, b"\0")] * 2).cast(kind)
    pq.write_table(pa.table({"image": cells, "label": ["a", "b"]}), tmp_path / "t.parquet")
    images = open_source(tmp_path / "t.parquet")
    assert images.classes == ("a", "b")
    assert [r.open().width for r in images.records] == [16, 16]


def test_a_truncated_tar_gives_its_first_images(tmp_path: Path) -> None:
    made = photographs(tmp_path / "photos")
    by_tar_with_json(tmp_path / "photos", made, tmp_path)
    data = (tmp_path / "t.tar").read_bytes()
    (tmp_path / "half.tar").write_bytes(data[: len(data) // 2])
    images, notes = notes_of(lambda note: open_source(tmp_path / "half.tar", note))
    assert 0 < len(images.records) < len(made)
    assert "damaged after" in notes["half.tar"]
    for record in images.records:
        record.open()
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 3_400_000_000
    end = len(data.rstrip(b"\0"))
    (tmp_path / "name.tar").write_bytes(
        data[: end + -end % 512] + member.tobuf(tarfile.GNU_FORMAT) + bytes(512)
    )
    tracemalloc.start()
    images, notes = notes_of(lambda note: open_source(tmp_path / "name.tar", note))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(images.records) == len(made)
    assert "damaged after" in notes["name.tar"]
    assert peak < 100 << 20, "the length of a name was requested without a look at the file's"
    (tmp_path / "bad.tar").write_bytes(b"no tar at all" * 99)
    with pytest.raises(InputError, match=r"bad\.tar cannot be read as a tar archive"):
        open_source(tmp_path / "bad.tar")
    images, notes = notes_of(lambda note: open_source(str(tmp_path / "{half,gone}.tar"), note))
    assert "no such file" in notes["gone.tar"]


def test_a_null_image_and_a_file_beside_a_parquet_file(tmp_path: Path) -> None:
    made = photographs(tmp_path)
    rows = [{"image": {"bytes": None, "path": id}, "label": c} for id, c in made.items()]
    rows[3]["image"] = None
    rows[4]["image"] = {"bytes": None, "path": None}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(
        pa.Table.from_pylist(rows, pa.schema([("image", kind), ("label", pa.string())])),
        tmp_path / "t.parquet",
    )
    images = open_source(tmp_path / "t.parquet")
    reasons = []
    for record in images.records:
        try:
            record.open()
        except ValueError as error:
            reasons.append(str(error))
    assert reasons == ["no picture in this row"] * 2


def test_labels_of_several_kinds_in_annotations(tmp_path: Path) -> None:
    made = photographs(tmp_path / "photos")
    by_yolo(tmp_path / "photos", made, tmp_path)
    labels = sorted((tmp_path / "labels").rglob("*.txt"))
    labels[0].write_text("0 0 0 1 1\n2 0 0 1 1\n")
    labels[1].write_text("")
    labels[2].unlink()
    labels[3].write_text("7 0 0 1 1\n")
    images = open_source(tmp_path)
    held = [record.labels for record in images.records]
    assert held[:4] == [("daisy", "tulip"), (), (), None]
    said = " ".join(images.notes)
    assert "2 of them without an object" in said
    assert "line 1: '7' is not the number of a class" in said
    assert np.isnan(images.label_matrix()[3]).all()


def test_coco_faults_are_counted(tmp_path: Path) -> None:
    made = photographs(tmp_path)
    by_coco(tmp_path, made, tmp_path)
    file = tmp_path / "annotations" / "instances_all.json"
    document = json.loads(file.read_text())
    document["images"].append({"id": 99, "file_name": "gone.jpg"})
    document["annotations"] += [{"image_id": 12345, "category_id": 1}, {"image_id": 0, "category_id": 2}]
    file.write_text(json.dumps(document))
    images, notes = notes_of(lambda note: open_source(file, note))
    assert "not there" in notes["gone.jpg"]
    assert any("1 annotations of unknown images" in note for note in images.notes)
    assert images.records[0].labels == ("daisy", "rose")
    file.write_text("{}")
    with pytest.raises(InputError, match="neither a COCO file nor a list of rows"):
        open_source(file)


COLOURS = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


@pytest.mark.parametrize("mode", ["RGBX", "CMYK", "YCbCr", "HSV", "RGBa", "RGBA", "P", "LA", "L", "1"])
def test_pillow_images_of_every_mode(mode: str) -> None:
    image = Image.fromarray(COLOURS).convert(mode if mode != "LA" else "L").convert(mode)
    (record,) = open_source([image]).records
    found = np.asarray(record.open().image).astype(int)
    assert np.abs(found - np.asarray(image.convert("RGB"))).max() <= 1


def test_pillow_images_of_whole_numbers_have_a_scale_of_16_bits() -> None:
    image = Image.fromarray(COLOURS[..., 0].astype(np.int32) * 257)
    (record,) = open_source([image]).records
    np.testing.assert_array_equal(np.asarray(record.open().image)[..., 0], COLOURS[..., 0])


@pytest.mark.parametrize("label", [3, np.int64(3), np.array(3), "3", ["3"], np.str_("3")])
def test_one_label_of_any_kind(label: object) -> None:
    assert open_source([(COLOURS, label)]).classes == ("3",)


class Unreadable:
    """A tensor that other libraries do not convert."""

    def __array__(self) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nUse detach.")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Unreadable(), r"Unreadable cannot be read .*tensor\.detach\(\)\.cpu\(\)"),
        (COLOURS.astype(float), "from 0 to 1: divide pixels of 0 to 255 by 255"),
        (Image.fromarray(np.full((16, 16), 70000, np.int32)), "mode I must hold values from 0 to 65535"),
    ],
)
def test_an_object_that_is_not_an_image_is_named_with_advice(item: object, message: str) -> None:
    images, notes = notes_of(lambda note: open_source([COLOURS, item], note))
    assert len(images.records) == 1
    assert re.search(message, notes["image 1"])
    assert "\n" not in notes["image 1"]


def test_open_files_are_read_and_mappings_refused() -> None:
    data = io.BytesIO()
    Image.fromarray(COLOURS).save(data, "PNG")
    data.seek(0)
    (record,) = open_source([data]).records
    np.testing.assert_array_equal(np.asarray(record.open().image), COLOURS)
    for source in ({"a": COLOURS}, data.getvalue()):
        with pytest.raises(InputError, match="must be a path, a name or an iterable"):
            open_source(source)  # type: ignore[arg-type]


def test_an_unusable_object_is_skipped() -> None:
    good = np.zeros((20, 30, 3), np.uint8)
    images, notes = notes_of(
        lambda note: open_source([good, object(), np.zeros(3), good[:, :, 0], 1.5 * np.ones((9, 9))], note)
    )
    assert len(images.records) == 2
    assert set(notes) == {"image 1", "image 2", "image 4"}
    with pytest.raises(InputError, match="no images in the given images"):
        open_source([])
    with pytest.raises(InputError, match="must be a path, a name or an iterable, not int"):
        open_source(7)  # type: ignore[arg-type]


def test_unusable_data_sets_of_the_hub_are_refused(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.config.HF_DATASETS_CACHE = tmp_path / "cache"
    datasets.Dataset.from_dict({"text": ["a"], "label": [1]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"no image column; its columns are text, label"):
        open_source(f"hf:{tmp_path}")
    with pytest.raises(InputError, match=r"hf:.*cannot be loaded"):
        open_source(f"hf:{tmp_path / 'nowhere'}")
    with pytest.raises(InputError, match=r"hf:OWNER/NAME"):
        open_source("hf:a/b?colour=red")
    with pytest.raises(InputError, match=r"for a data set of the Hugging Face hub write hf:a/b"):
        open_source("a/b")


def test_a_column_of_pictures_is_chosen_by_name(tmp_path: Path) -> None:
    made = photographs(tmp_path)
    rows = [{"left": (tmp_path / id).read_bytes(), "right": b"x", "label": c} for id, c in made.items()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"'left' or 'right'; choose with --image-column"):
        open_source(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"--image-column: unknown column 'rigt': did you mean 'right'"):
        open_source(tmp_path / "t.parquet", options=TableOptions(image_columns=("rigt",)))
    images = open_source(tmp_path / "t.parquet", options=TableOptions(image_columns=("left",)))
    assert images.records[0].open().width == 32
