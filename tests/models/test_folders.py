"""Model folders: manifests, checks, and results of the models."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests import tiny_models

from inficond.core.errors import InputError
from inficond.core.models import load_encoder, load_teacher, read_manifest
from inficond.core.models import resolve as locating
from inficond.core.models.manifest import ImageInput, numbered
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.teacher import apply_link


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("models")
    return tiny_models.write_encoder(root / "encoder"), tiny_models.write_teacher(root / "teacher")


def pictures(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


def test_the_encoder_returns_the_shapes_of_its_manifest(folders: tuple[Path, Path]) -> None:
    encoder = load_encoder(folders[0], "cpu")
    pixels = pictures(7, 32)
    encoded = encoder.encode(pixels)
    assert encoded.regions.shape == (7, 4, tiny_models.DIM)
    assert encoded.regions.dtype == np.float32
    assert encoded.assignment.shape == (7, 16)
    assert encoded.assignment.dtype == np.uint8
    np.testing.assert_allclose(np.linalg.norm(encoded.regions, axis=2), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(encoded.image, axis=1), 1, atol=1e-6)
    mean = pixels[3, 16:, :16].reshape(-1, 3).mean(0) / 255
    np.testing.assert_allclose(encoded.regions[3, 2], tiny_models.embedding(mean), atol=1e-6)


def test_words_are_embedded_in_the_space_of_regions(folders: tuple[Path, Path]) -> None:
    encoder = load_encoder(folders[0], "cpu")
    words = encoder.embed_words(["red", "Blue ".lower(), "  green"])
    np.testing.assert_allclose(words[0], tiny_models.embedding((1, 0, 0)), atol=1e-6)
    np.testing.assert_allclose(words[2], tiny_models.embedding((0, 1, 0)), atol=1e-6)
    with pytest.raises(InputError, match="cannot be used as a concept"):
        encoder.embed_words(["red", "  "])


def test_the_teacher_applies_its_link(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pixels = pictures(3, 24)
    logits = 8 * pixels.reshape(3, -1, 3).mean(1) / 255 - 4
    soft = load_teacher(folders[1], "cpu").respond(pixels)
    np.testing.assert_allclose(soft, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), atol=1e-6)
    sigmoid = load_teacher(tiny_models.write_teacher(tmp_path / "s", "sigmoid"), "cpu").respond(pixels)
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_labels_and_outputs_must_be_equally_many(tmp_path: Path) -> None:
    teacher = load_teacher(tiny_models.write_teacher(tmp_path / "t", labels=("a", "b")), "cpu")
    with pytest.raises(InputError, match="outputs per picture for 2 labels"):
        teacher.respond(pictures(1, 24))


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=6))
def test_links_stay_in_range_for_any_logits(values: list[float]) -> None:
    logits = np.array([values], np.float32)
    assert ((apply_link(logits, "sigmoid") >= 0) & (apply_link(logits, "sigmoid") <= 1)).all()
    assert apply_link(logits, "softmax").sum() == pytest.approx(1, abs=1e-5)


@given(st.lists(st.sampled_from(["crane", "crane (2)", "maillot", "x"]), min_size=1, max_size=8))
def test_repeated_labels_are_numbered(labels: list[str]) -> None:
    names = numbered(labels)
    assert len(set(names)) == len(names)
    assert all(n.startswith(label) for n, label in zip(names, labels))


def changed(folder: Path, target: Path, change: Any) -> Path:
    shutil.copytree(folder, target)
    manifest = json.loads((target / "manifest.json").read_text())
    change(manifest)
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


WRONG = [
    (lambda m: m.update(format=2), "newer format"),
    (lambda m: m.update(format=True), "`format` must be"),
    (lambda m: m.update(kind="decoder"), "`kind` must be"),
    (lambda m: m.pop("image"), "`image` must be an object"),
    (lambda m: m["image"].update(file="../image.onnx"), "plain file name"),
    (lambda m: m["image"].update(file="/etc/passwd"), "plain file name"),
    (lambda m: m["image"].update(size=[32]), "height, width"),
    (lambda m: m["image"].update(size=[32, -1]), "whole number"),
    (lambda m: m["image"].update(crop=[64, 64]), "image.crop"),
    (lambda m: m["image"].update(interpolation="magic"), "image.interpolation"),
    (lambda m: m["image"].update(std=[0, 1, 1]), "above 0"),
    (lambda m: m.update(regions=0), "`regions` must be"),
    (lambda m: m.update(regions=999), "at most 255"),
    (lambda m: m.update(dim="8"), "`dim` must be"),
    (lambda m: m["text"].update(templates=["a photo"]), "text.templates"),
    (lambda m: m["files"].pop("image.onnx"), "does not list 'image.onnx'"),
    (lambda m: m["files"]["image.onnx"].update(sha256="0" * 64), "does not match its manifest"),
    (lambda m: m["files"]["image.onnx"].update(bytes=5), "does not match its manifest"),
    (lambda m: m["files"].update({"../x": {}}), "plain file name"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[m for _, m in WRONG])
def test_a_manifest_with_an_invalid_field_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_encoder(changed(folders[0], tmp_path / "wrong", change), "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format": 1}', "[" * 100_000])
def test_an_invalid_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_shapes_must_match_the_manifest(folders: tuple[Path, Path], tmp_path: Path) -> None:
    wrong = changed(folders[0], tmp_path / "wrong", lambda m: m.update(dim=16))
    with pytest.raises(InputError, match="other shapes than its manifest states"):
        load_encoder(wrong, "cpu").encode(pictures(1, 32))
    with pytest.raises(InputError, match="the model takes"):
        load_encoder(folders[0], "cpu").encode(pictures(1, 33))


def test_a_link_out_of_the_folder_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(folders[0], tmp_path / "linked")
    (tmp_path / "linked" / "image.onnx").unlink()
    (tmp_path / "linked" / "image.onnx").symlink_to(folders[0] / "image.onnx")
    with pytest.raises(InputError, match="is a link to another folder"):
        load_encoder(tmp_path / "linked", "cpu")


def test_a_provider_that_does_not_work_is_an_error(folders: tuple[Path, Path]) -> None:
    from inficond.core.models.providers import may_work

    if may_work("cuda"):
        pytest.skip("CUDA may run here")
    with pytest.raises(InputError, match="'cuda'"):
        load_encoder(folders[0], "cuda")
    assert load_encoder(folders[0], "auto").provider == "cpu"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no-such-folder", "give `embedded`, one of clip-b16, .*, a model folder, or a Hugging Face id"),
        ("../x/../../y", "give `embedded`"),
        ("owner/name", "install the `export` extra"),
        ("open_clip:ViT-B-16/openai", "install the `export` extra"),
        ("hf-hub:owner/name", "install the `export` extra"),
        ("radio-b", "transformers includes the image tower of C-RADIO only"),
    ],
)
def test_an_unknown_encoder_is_refused(spec: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locating, "exporter", lambda kind: None)
    with pytest.raises(InputError, match=message):
        locating.locate(spec, "encoder")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet50", "give timm/resnet50"),
        ("https://huggingface.co/google/vit-base-patch16-224", "give google/vit-base-patch16-224$"),
        ("huggingface.co/google/vit/tree/main", "give google/vit$"),
        ("hf:google/vit", "give google/vit$"),
    ],
)
def test_the_spelling_of_other_tools_is_recognised(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        locating.locate(spec, "teacher")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights.pt", "torchvision/NAME --checkpoint weights.pt`; else export the model to ONNX"),
        ("model.keras", "a model of Keras: give it as it is to `inficond distill --teacher`"),
        ("model.h5", "a model of Keras.*save it as .keras"),
        ("model.tflite", "TensorFlow Lite"),
        ("model.engine", "TensorRT"),
        ("forest.joblib", "scikit-learn"),
        ("model.safetensors", "the folder that holds config.json"),
        ("probabilities.npy", "a table of image, class, probability"),
        ("model.abc", "`inficond export teacher`, an .onnx file or a table"),
    ],
)
def test_a_file_of_another_tool_names_the_way_out(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=f"is a file, not a model folder: .*{message}"):
        locating.locate(tmp_path / name, "teacher")


def test_a_hub_id_is_exported_once_and_cached(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def export(model: str, target: Path) -> None:
        asked.append(model)
        shutil.copytree(folders[0], target)

    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path))
    monkeypatch.setattr(locating, "exporter", lambda kind: export)
    for _ in range(2):
        assert load_encoder("owner/name", "cpu").name == "tiny-colours"
    assert asked == ["owner/name"]


def test_a_preset_stands_for_its_model(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def export(model: str, out: Path) -> None:
        asked.append(model)
        shutil.copytree(folders[0], out)

    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path))
    monkeypatch.setattr(locating, "exporter", lambda kind: export)
    assert load_encoder("clip-b16").dim == load_encoder(folders[0]).dim
    assert asked == ["openai/clip-vit-base-patch16"]
    with pytest.raises(InputError, match="'clip-b1' does not exist: did you mean clip-b16"):
        load_encoder("clip-b1")


def test_a_hub_id_in_a_file_is_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(model: str, target: Path) -> None:
        raise AssertionError(f"{model} was downloaded")

    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path))
    monkeypatch.setattr(locating, "exporter", lambda kind: export)
    for load in (load_encoder, load_teacher):
        with pytest.raises(InputError, match="owner/name is not on this machine: export it with"):
            load("owner/name", "cpu", download=False)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(x+x+)+y", "(a|aa)+$"])
def test_a_tokenizer_pattern_without_end_is_one_line(
    pattern: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """The tokenizers library panics, which raises a `BaseException`."""

    def split(content: bytes) -> bytes:
        tokenizer = json.loads(content)
        tokenizer["normalizer"] = None
        tokenizer["pre_tokenizer"] = {
            "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False
        }  # fmt: skip
        return json.dumps(tokenizer).encode()

    folder = tmp_path / "encoder"
    shutil.copytree(folders[0], folder)
    path = folder / "tokenizer.json"
    path.write_bytes(split(path.read_bytes()))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("checksum", None)
    manifest["files"]["tokenizer.json"] = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    encoder = load_encoder(folder, "cpu")
    with pytest.raises(InputError, match="the tokenizer of .* failed: .*Regex") as caught:
        encoder.embed_words(["a" * 150 + "c", "x" * 150])
    assert "\n" not in str(caught.value)


def image_input(size: int, resize: int | tuple[int, int], crop: int | None) -> ImageInput:
    square = None if crop is None else (crop, crop)
    return ImageInput(file="x.onnx", size=(size, size), resize=resize, crop=square, interpolation="bilinear")


def test_resize_and_crop_in_one_step_equal_two_steps() -> None:
    picture = Image.fromarray(pictures(1, 30)[0]).resize((300, 200), Image.Resampling.BICUBIC)
    one = Preprocess(image_input(64, 80, 64))(picture).astype(int)
    two = picture.resize((120, 80), Image.Resampling.BILINEAR).crop((28, 8, 92, 72))
    assert np.abs(one - np.asarray(two)).max() <= 3


@given(w=st.integers(8, 400), h=st.integers(8, 400), resize=st.integers(16, 40))
def test_any_picture_is_resized_to_the_input_size(w: int, h: int, resize: int) -> None:
    for plan in (image_input(16, resize, 16), image_input(16, (16, 16), None)):
        got = Preprocess(plan)(np.full((h, w, 3), 77, np.uint8))
        assert got.shape == (16, 16, 3)
        assert (got == 77).all()


@pytest.mark.data
def test_the_embedded_teacher_classifies_imagenet(shared_data: Path) -> None:
    from inficond.core.images import decode

    teacher = load_teacher("embedded", "cpu")
    wordnet = teacher.manifest.raw["wordnet_ids"]
    files = sorted((shared_data / "imagenet_sample").glob("n*.*"))[::4]
    right = 0
    for start in range(0, len(files), 8):
        batch = files[start : start + 8]
        said = teacher.respond(np.stack([teacher.preprocess(decode(f)) for f in batch])).argmax(1)
        right += sum(wordnet[i] == f.name.split("_")[0].split(".")[0] for i, f in zip(said, batch))
    assert right / len(files) > 0.8
