"""Damaged model folders: one line says what is wrong and what to do, and nothing is written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the exporter needs the `export` extra")
from safetensors.torch import load_file, save_file  # noqa: E402

from inficond.core.errors import InputError  # noqa: E402
from inficond.export.teacher import export_teacher  # noqa: E402

Damage = Callable[[Path], None]
PROCESSOR = "preprocessor_config.json"


def stating(**values: object) -> Damage:
    """Change values in the file of the image processor."""

    def damage(folder: Path) -> None:
        path = folder / PROCESSOR
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return damage


def weights(change: Callable[[str, "torch.Tensor"], tuple[str, "torch.Tensor"]]) -> Damage:
    """Change the name and the values of each tensor."""

    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = dict(change(name, value.clone()) for name, value in load_file(path).items())
        save_file(tensors, path, {"format": "pt"})

    return damage


COPY = "preprocessor_config.json, or copy it from the model it was trained from"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a tokenizer as image processor": (
        stating(image_processor_type="BertTokenizer"), "names BertTokenizer, which does not read pictures",
    ),
    "a size that the processor does not know": (
        stating(size={"longest_edge": 32}), rf"fails on a picture of 96×96 pixels \(Size .*: correct {COPY}",
    ),
    "a filter that Pillow does not have": (
        stating(resample=9), rf"\(Unknown resampling filter.*: correct {COPY}",
    ),
    "a factor as text": (stating(rescale_factor="1/255"), f"fails on a picture.*: correct {COPY}"),
    "weights of DataParallel": (
        weights(lambda name, value: (f"module.{name}", value)),
        r"begin with 'module\.', as DataParallel saves them: .*model\.module\.save_pretrained",
    ),
    "weights of a compiled model": (
        weights(lambda name, value: (f"_orig_mod.{name}", value)),
        r"'_orig_mod\.', as torch\.compile saves them: save the model inside it",
    ),
    "integers without a scale": (
        weights(lambda name, value: (name, (100 * value).to(torch.int8))),
        r"model\.safetensors holds weights of 8-bit integers .*: save the model before it was quantized",
    ),
    "weights of zero": (
        weights(lambda name, value: (name, 0 * value)),
        "its outputs are the same for every picture, so nothing can be learned from them",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_the_line_says_what_is_wrong_and_what_to_do(tiny_classifier, tmp_path: Path, case: str) -> None:
    damage, message = DAMAGES[case]
    shutil.copytree(tiny_classifier("vit"), tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(InputError, match=message) as refused:
        export_teacher(str(tmp_path / "model"), tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
