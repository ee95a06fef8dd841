"""Exported TIPSv2: every output equals the model, and the dense features those of its authors' formula."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnx")

from inficond.core.models.encoder import load_encoder  # noqa: E402
from inficond.export.encoder import EncoderOptions, export_encoder  # noqa: E402
from inficond.export.graph import run_cpu  # noqa: E402
from inficond.export.regions import RegionFinder  # noqa: E402

pytestmark = pytest.mark.skipif(
    not hasattr(transformers, "Tipsv2Model"), reason="needs transformers 5.14 or newer"
)
SIZES = (32, 48)
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def exported(tiny_encoder, tmp_path_factory):
    """The model and its exported folders, by input size."""
    source = tiny_encoder("tipsv2")
    folders = export_encoder(
        str(source), tmp_path_factory.mktemp("out") / "tips", EncoderOptions(sizes=SIZES)
    )
    model = transformers.AutoModel.from_pretrained(source, attn_implementation="eager").eval()
    return model, dict(zip(SIZES, folders))


def formula(model, x):
    """Return the authors' dense features: the last block with its values instead of its attention."""
    vision = model.vision_model
    block = vision.encoder.layer[-1]
    # Attention that returns each token's own value, inside the otherwise unchanged model.
    block.attention.forward = lambda y, **_: (block.attention.o_proj(block.attention.v_proj(y)), None)
    try:
        tokens = vision(pixel_values=x).last_hidden_state
    finally:
        del block.attention.forward
    skip = 1 + model.config.vision_config.num_register_tokens
    return torch.nn.functional.normalize(tokens[:, skip:], dim=-1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 7])
def test_the_image_graph_equals_the_model(exported, noise, batch, size):
    model, folders = exported
    pixels = noise(batch, size, seed=batch)
    got = run_cpu(folders[size] / "image.onnx", {"pixels": pixels})
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        image = torch.nn.functional.normalize(model.get_image_features(pixel_values=x).pooler_output, dim=-1)
        dense = formula(model, x)
        finder = RegionFinder(json.loads((folders[size] / "manifest.json").read_text())["regions"])
        regions, _ = finder(dense.unflatten(1, (size // 8, size // 8)))
    assert abs(got["image"] - image.numpy()).max() <= TOLERANCE
    assert abs(got["dense"] - dense.numpy()).max() <= TOLERANCE
    assert abs(got["regions"] - regions.numpy()).max() <= TOLERANCE


def test_words_equal_the_model_whatever_their_length(exported, tiny_encoder):
    model, folders = exported
    encoder = load_encoder(folders[32])
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_encoder("tipsv2"))
    words = ["dog", "a photo of a dog"]
    found = encoder.embed_words(words, ["{}"])
    for word, vector in zip(words, found, strict=True):
        inputs = tokenizer([word], return_tensors="pt")
        with torch.no_grad():
            out = model.get_text_features(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).pooler_output
        expected = torch.nn.functional.normalize(out, dim=-1).numpy()[0]
        np.testing.assert_allclose(vector, expected, atol=TOLERANCE)


def test_the_manifest_names_the_dense_recipe(exported):
    manifest = json.loads((exported[1][32] / "manifest.json").read_text())
    assert manifest["dense"] == {"method": "TIPSv2, last block without attention"}
    assert manifest["image"]["interpolation"] == "bilinear"
    assert manifest["image"]["mean"] == [0.0, 0.0, 0.0]
