"""No image is encoded twice: encodings and responses are found by content, in any project."""

import json
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.core.images import ImageRecord
from inficond.core.models.encoder import Encoder
from inficond.core.models.teacher import Teacher
from inficond.core.models.text_embedder import WordEmbedder
from inficond.core.pipeline.encode import BATCH
from inficond.core.pipeline.encoding_cache import FILE, EncodingCache, parse_size


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty cache."""
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "encodings" / FILE


@pytest.fixture
def photos(tiny: Any, tmp_path: Path) -> Path:
    """Twenty photographs in two folders."""
    for path in sorted(tiny.photos.rglob("*.*"))[::15]:
        copy = tmp_path / "photos" / path.relative_to(tiny.photos)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return tmp_path / "photos"


@pytest.fixture
def without_models(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let every call of an encoder or a teacher fail from now on."""

    def fail(*args: object) -> None:
        raise AssertionError("a model was called")

    monkeypatch.setattr(Encoder, "encode", fail)
    monkeypatch.setattr(Teacher, "respond", fail)
    return monkeypatch


def create(tiny: Any, out: Path, images: Path, **options: Any) -> Project:
    return Project.create(**tiny.arguments(out, images=images, lam=0.01, baseline=False, **options))


def test_other_words_call_no_model(tiny: Any, photos: Path, tmp_path: Path, request: Any) -> None:
    first = create(tiny, tmp_path / "first", photos)
    assert first.config["source"]["encoded"] == 20
    request.getfixturevalue("without_models")
    words = tmp_path / "words.txt"
    words.write_text("red\nblue\nwhite\n")
    second = create(tiny, tmp_path / "second", photos, concepts=words)
    assert second.config["source"]["encoded"] == 0
    assert second.concepts == ["red", "blue", "white"]
    np.testing.assert_array_equal(np.asarray(first.T), np.asarray(second.T))
    for name in ("region_embeddings", "boxes"):
        np.testing.assert_array_equal(np.asarray(getattr(first, name)), np.asarray(getattr(second, name)))
    for row in range(20):
        assert first.thumbnail_bytes(row) == second.thumbnail_bytes(row)


def test_known_images_are_read_for_their_checksum_only(
    tiny: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = create(tiny, tmp_path / "first", photos)
    (photos / "new.jpg").write_bytes(first.thumbnail_bytes(0))
    read: list[str] = []
    content = ImageRecord.content

    def counted(self: ImageRecord) -> bytes | None:
        read.append(self.id)
        return content(self)

    monkeypatch.setattr(ImageRecord, "content", counted)
    second = create(tiny, tmp_path / "second", photos)
    assert second.config["source"]["encoded"] == 1
    assert "new.jpg" in read
    assert len(read) <= BATCH["cpu"]  # those of its batch


def test_words_are_embedded_once(
    tiny: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[str] = []
    embed = WordEmbedder.embed

    def counted(self: WordEmbedder, words: Sequence[str], templates: Sequence[str] | None = None) -> Any:
        embedded.extend(words)
        return embed(self, words, templates)

    monkeypatch.setattr(WordEmbedder, "embed", counted)
    words = ["red", "blue", "white", "black"]
    first = create(tiny, tmp_path / "first", photos, concepts=words)
    assert set(words) <= set(embedded)
    embedded.clear()
    second = create(tiny, tmp_path / "second", photos, concepts=words)
    assert not set(words) & set(embedded)
    np.testing.assert_array_equal(np.asarray(first.X), np.asarray(second.X))
    create(tiny, tmp_path / "third", photos, concepts=words[::-1])
    assert set(words) <= set(embedded), "another list is embedded as a whole"


def test_names_of_files_do_not_matter_and_changed_files_are_encoded(
    tiny: Any, photos: Path, tmp_path: Path
) -> None:
    before = create(tiny, tmp_path / "first", photos)
    paths = sorted(photos.rglob("*.*"))
    paths[0].rename(photos / "renamed.png")
    shutil.copyfile(paths[1], photos / "copy.jpg")
    shutil.copyfile(next(p for p in sorted(tiny.photos.rglob("*.jpg")) if p.name == "00001.jpg"), paths[2])
    after = create(tiny, tmp_path / "second", photos)
    assert after.config["source"]["encoded"] <= 1
    copied = after.image_ids.index("copy.jpg")
    np.testing.assert_array_equal(
        np.asarray(after.region_embeddings[copied]),
        np.asarray(before.region_embeddings[before.image_ids.index(str(paths[1].relative_to(photos)))]),
    )


def test_another_teacher_calls_no_encoder(tiny: Any, photos: Path, tmp_path: Path, request: Any) -> None:
    from tests.tiny_models import write_teacher

    create(tiny, tmp_path / "first", photos)
    other = write_teacher(tmp_path / "teacher", link="sigmoid", labels=("r", "g", "b"))
    request.getfixturevalue("monkeypatch").setattr(Encoder, "encode", None)
    project = create(tiny, tmp_path / "second", photos, teacher=other)
    assert set(project.classes) <= {"r", "g", "b"}
    assert project.config["source"]["encoded"] == 20


def test_a_cached_build_equals_one_without_cache(tiny: Any, photos: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    shutil.copytree(photos / "a", some / "a")
    create(tiny, tmp_path / "part", some)
    mixed = create(tiny, tmp_path / "mixed", photos)
    plain = create(tiny, tmp_path / "plain", photos, cache=False)
    assert 0 < mixed.config["source"]["encoded"] < 20
    assert plain.config["source"]["encoded"] == 20
    np.testing.assert_array_equal(np.asarray(mixed.X), np.asarray(plain.X))
    np.testing.assert_array_equal(np.asarray(mixed.T), np.asarray(plain.T))


def test_an_unwritable_cache_costs_only_time(
    tiny: Any, photos: Path, tmp_path: Path, own_cache: Path
) -> None:
    own_cache.parent.parent.mkdir()
    own_cache.parent.write_bytes(b"a file where the folder should be")
    project = create(tiny, tmp_path / "out", photos)
    assert project.config["source"]["encoded"] == 20
    assert "encodings are not cached" in " ".join(project.config["source"]["notes"])


@pytest.mark.parametrize("fault", ["no database", "cut", "flipped"])
def test_a_damaged_file_gives_no_wrong_value(tmp_path: Path, fault: str) -> None:
    values = {i.to_bytes(32): bytes([i]) * 3000 for i in range(100)}
    cache = EncodingCache(tmp_path)
    cache.put("encoder", "tiny", "basis", values)
    cache.close()
    data = bytearray(cache.path.read_bytes())
    if fault == "no database":
        data[:] = b"no database at all" * 1000
    elif fault == "cut":
        del data[len(data) // 2 :]
    else:
        for at in range(20_000, len(data), 4096):
            data[at] ^= 0x5A
    cache.path.write_bytes(data)
    for _ in range(2):
        damaged = EncodingCache(tmp_path)
        found = damaged.get_all("basis", list(values))
        for key, value in values.items():
            assert found.get(key) in (None, value)
            assert damaged.get("basis", key) in (None, value)
        damaged.put("encoder", "tiny", "basis", values)
        damaged.close()
    again = EncodingCache(tmp_path)
    again.put("encoder", "tiny", "basis", values)
    assert all(again.get("basis", key) == value for key, value in values.items())
    again.close()


def test_many_images_are_found_in_any_order(tmp_path: Path) -> None:
    cache = EncodingCache(tmp_path)
    values = {i.to_bytes(32): i.to_bytes(2) for i in range(1200)}
    cache.put("encoder", "tiny", "basis", values)
    asked = [i.to_bytes(32) for i in (*range(1400, 600, -1), *range(601))]
    assert cache.get_all("basis", asked) == {key: values[key] for key in asked if key in values}
    assert cache.get_all("other", asked) == cache.get_all("basis", []) == {}


def test_the_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    cache = EncodingCache(tmp_path, limit=400_000)
    value = bytes(10_000)
    for i in range(1024):
        cache.put("encoder", "tiny", "basis", {i.to_bytes(32): value})
    cache.close()
    assert cache.size() < 500_000
    assert cache.get("basis", (0).to_bytes(32)) is None
    assert cache.get("basis", (1023).to_bytes(32)) == value


def test_a_limit_of_zero_switches_the_cache_off(
    tiny: Any, photos: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFICOND_CACHE_LIMIT", "0")
    create(tiny, tmp_path / "out", photos)
    assert not own_cache.exists()


def test_sizes_are_read_with_units() -> None:
    assert parse_size("10GB", "it") == 10**10
    assert parse_size("1.5 mb", "it") == 1_500_000
    assert parse_size("7", "it") == 7
    with pytest.raises(InputError, match="it must be a size such as 500MB"):
        parse_size("much", "it")


def test_the_command_lists_and_prunes(
    tiny: Any, photos: Path, tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(tiny, tmp_path / "out", photos)
    assert main(["cache", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {(m["kind"], m["images"]) for m in said["encodings"]} == {
        ("encoder", 20), ("teacher", 20), ("thumbnail", 20), ("words", 1)
    }  # fmt: skip
    assert said["bytes"] == own_cache.stat().st_size
    with sqlite3.connect(own_cache) as db:
        db.execute("UPDATE entries SET used = 0 WHERE rowid % 2 = 0")
    db.close()
    assert main(["cache", "--prune", "--unused", "100", "--json"]) == 0
    assert sum(m["images"] for m in json.loads(capsys.readouterr().out)["encodings"]) == 31
    assert main(["cache", "--prune"]) == 0
    assert "encodings: " in capsys.readouterr().out
    assert main(["cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encodings"] == []
    assert main(["cache", "--keep", "1GB"]) == 2
    assert "need --prune" in capsys.readouterr().err
    assert create(tiny, tmp_path / "again", photos).config["source"]["encoded"] == 20


def test_the_file_is_readable_by_its_owner_only(own_cache: Path) -> None:
    cache = EncodingCache()
    cache.put("encoder", "tiny", "basis", {b"key": b"value"})
    cache.close()
    if os.name == "posix":
        assert own_cache.parent.stat().st_mode & 0o077 == 0


def test_a_fitted_probe_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inficond.core.pipeline import cached_probe

    rng = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    features = (labels @ rng.normal(size=(3, 8)) + rng.normal(size=(60, 8))).astype(np.float32)
    cache = EncodingCache(tmp_path)

    def probe(labels: np.ndarray) -> Any:
        return cached_probe.cached_probe(cache, features, labels, "softmax", groups=None, seed=0)

    first = probe(labels)
    monkeypatch.setattr(cached_probe, "fit_probe", lambda *args, **kwargs: "fitted again")
    second = probe(labels)
    np.testing.assert_array_equal(first.responses, second.responses)
    np.testing.assert_array_equal(first.classifier.predict(features), second.classifier.predict(features))
    assert (first.l2, first.accuracy, first.chance) == (second.l2, second.accuracy, second.chance)
    with pytest.raises(AttributeError, match="classifier"):
        probe(labels[::-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": {"x": ["rad"]}}, "teacher label 'rad'"),
        ({"classes": {str(i): ["red"] for i in range(30)}}, "20 images for 30 classes"),
        ({"labels": "image,red\nother.jpg,1\n"}, "names none of the images"),
        (
            {"teacher": "labels", "labels": "image,label\n00000.png,red\n00001.jpg,green\n"},
            "no class has two",
        ),
    ],
)  # fmt: skip
def test_names_are_checked_before_the_first_image_is_encoded(
    tiny: Any, photos: Path, tmp_path: Path, without_models: Any, options: dict[str, Any], message: str
) -> None:
    if "labels" in options:
        (tmp_path / "labels.csv").write_text(options["labels"])
        options = {**options, "labels": tmp_path / "labels.csv"}
    with pytest.raises(InputError, match=message):
        create(tiny, tmp_path / "out", photos, **options)
