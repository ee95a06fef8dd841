"""Exported encoders: every output equals torch, and the dense features are those of NACLIP."""

import json
from pathlib import Path

import numpy as np
import pytest

from inficond.core.errors import InputError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
onnx = pytest.importorskip("onnx")

from inficond.core.models.encoder import load_encoder  # noqa: E402
from inficond.core.models.onnx_safety import check_graph  # noqa: E402
from inficond.export.attention import FUSED_OP  # noqa: E402
from inficond.export.encoder import EncoderOptions, export_encoder  # noqa: E402
from inficond.export.graph import node_counts, run_cpu  # noqa: E402
from inficond.export.towers import Dense, neighbourhood, positions_for  # noqa: E402

KINDS = ["clip", "siglip", "siglip2", "chinese_clip"]
SIZES = (32, 48)
TOLERANCE = 1e-4
LAYERS, HEADS = 3, 4


@pytest.fixture(scope="module")
def exported(tiny_encoder, tmp_path_factory):
    """`exported("clip")` -> (the transformers model, {size: model folder}), made once."""
    made = {}

    def get(kind):
        if kind not in made:
            source = tiny_encoder(kind)
            out = tmp_path_factory.mktemp("out") / kind
            folders = export_encoder(str(source), out, EncoderOptions(sizes=SIZES))
            model = transformers.AutoModel.from_pretrained(source, attn_implementation="eager").eval()
            made[kind] = model, dict(zip(SIZES, folders))
        return made[kind]

    return get


def normalised(folder: Path, pixels: np.ndarray) -> "torch.Tensor":
    """Normalise resized pixels to (B, 3, H, W) as the manifest states."""
    image = json.loads((folder / "manifest.json").read_text())["image"]
    mean, std = (torch.tensor(image[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std


def vision_inputs(model, x):
    """Return the arguments of the model's vision tower for normalised pixels of any size."""
    patch = model.config.vision_config.patch_size
    if not hasattr(
        model.vision_model.embeddings, "interpolate_pos_encoding"
    ):  # SigLIP 2 takes flattened patches
        b, _, h, w = x.shape
        h, w = h // patch, w // patch
        flat = torch.zeros(b, h * w, patch * patch * 3)
        for i in range(h):
            for j in range(w):
                tile = x[:, :, i * patch : (i + 1) * patch, j * patch : (j + 1) * patch]
                flat[:, i * w + j] = tile.permute(0, 2, 3, 1).reshape(b, -1)
        return {
            "pixel_values": flat,
            "pixel_attention_mask": torch.ones(b, h * w, dtype=torch.long),
            "spatial_shapes": torch.tensor([[h, w]] * b),
        }
    return {"pixel_values": x, "interpolate_pos_encoding": True}


def plain_dense(model, x, sigma: float = 5.0, window: int | None = None):
    """Compute NACLIP's reduced last block with loops over heads and patches, as in the paper."""
    vision = model.vision_model
    before_last: dict[str, torch.Tensor] = {}
    hook = vision.encoder.layers[-1].register_forward_pre_hook(
        lambda module, args, kwargs: before_last.update(x=args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True,
    )
    vision(**vision_inputs(model, x))
    hook.remove()
    block = vision.encoder.layers[-1]
    y = block.layer_norm1(before_last["x"])
    k, v = block.self_attn.k_proj(y), block.self_attn.v_proj(y)
    side_h, side_w = (n // model.config.vision_config.patch_size for n in x.shape[2:])
    skip = y.shape[1] - side_h * side_w
    omega = torch.zeros(y.shape[1], y.shape[1])
    for a in range(side_h * side_w):
        for b in range(side_h * side_w):
            dy, dx = a // side_w - b // side_w, a % side_w - b % side_w
            if window is None or max(abs(dy), abs(dx)) <= window:
                omega[skip + a, skip + b] = np.exp(-(dy * dy + dx * dx) / (2 * sigma * sigma))
    d = k.shape[-1] // HEADS
    mixed = []
    for h in range(HEADS):
        kh, vh = k[..., h * d : (h + 1) * d], v[..., h * d : (h + 1) * d]
        mixed.append(torch.softmax(kh @ kh.transpose(1, 2) / d**0.5 + omega, dim=-1) @ vh)
    out = vision.post_layernorm(block.self_attn.out_proj(torch.cat(mixed, -1)))[:, skip:]
    if hasattr(model, "visual_projection"):
        out = model.visual_projection(out)
    else:  # the pooling head is applied to one patch at a time
        out = torch.stack([vision.head(out[:, i : i + 1]) for i in range(out.shape[1])], 1)
    return torch.nn.functional.normalize(out, dim=-1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_image_graph_equals_torch(exported, noise, kind, batch, size):
    model, folders = exported(kind)
    pixels = noise(batch, size, seed=batch)
    got = run_cpu(folders[size] / "image.onnx", {"pixels": pixels})
    with torch.no_grad():
        x = normalised(folders[size], pixels)
        image = torch.nn.functional.normalize(
            model.get_image_features(**vision_inputs(model, x)).pooler_output, dim=-1
        )
        dense = plain_dense(model, x)
        from inficond.export.regions import RegionFinder

        finder = RegionFinder(json.loads((folders[size] / "manifest.json").read_text())["regions"])
        regions, assignment = finder(dense.unflatten(1, (size // 8, size // 8)))
    assert abs(got["image"] - image.numpy()).max() <= TOLERANCE
    assert abs(got["dense"] - dense.numpy()).max() <= TOLERANCE
    assert abs(got["regions"] - regions.numpy()).max() <= TOLERANCE
    assert got["assignment"].dtype == np.uint8
    assert (got["assignment"] == assignment.numpy()).mean() >= 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_text_graph_equals_torch(exported, tiny_encoder, kind):
    model, folders = exported(kind)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_encoder(kind))
    encoder = load_encoder(folders[32])
    template = "a photo of the {}"
    for word in ("dog", "red boat on the water", "Cat"):
        fixed = kind.startswith("siglip")
        ids = tokenizer(
            [template.format(word)],
            return_tensors="pt",
            padding="max_length" if fixed else True,
            truncation=True,
            max_length=16,
        )
        # SigLIP is trained without an attention mask, on padded texts.
        names = ["input_ids"] if fixed else ["input_ids", "attention_mask"]
        with torch.no_grad():
            out = model.get_text_features(**{n: ids[n] for n in names}).pooler_output
        want = torch.nn.functional.normalize(out, dim=-1).numpy()
        assert abs(encoder.embed_words([word], [template]) - want).max() <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_exported_as_one_node(exported, kind):
    _, folders = exported(kind)
    pooled = int(kind.startswith("siglip"))  # the pooling head's attention
    dense = 1
    assert node_counts(onnx.load(str(folders[32] / "image.onnx")))[FUSED_OP] == LAYERS + dense + pooled


def test_plain_attention_uses_standard_operators_only(tiny_encoder, tmp_path, noise, exported):
    _, folders = exported("clip")
    (out,) = export_encoder(str(tiny_encoder("clip")), tmp_path / "plain", EncoderOptions(fused=False))
    assert set(check_graph((out / "image.onnx").read_bytes()).opsets) == {"ai.onnx"}
    pixels = {"pixels": noise(3, 32)}
    plain, fused = run_cpu(out / "image.onnx", pixels), run_cpu(folders[32] / "image.onnx", pixels)
    assert abs(plain["dense"] - fused["dense"]).max() <= TOLERANCE


def test_sigma_and_window_change_the_dense_features_by_the_formula(tiny_encoder, tmp_path, noise, exported):
    model, folders = exported("clip")
    options = EncoderOptions(dense=Dense(sigma=1.5, window=1))
    (out,) = export_encoder(str(tiny_encoder("clip")), tmp_path / "x", options)
    pixels = noise(2, 32)
    got = run_cpu(out / "image.onnx", {"pixels": pixels})["dense"]
    with torch.no_grad():
        want = plain_dense(model, normalised(out, pixels), sigma=1.5, window=1).numpy()
    assert abs(got - want).max() <= TOLERANCE
    assert abs(got - run_cpu(folders[32] / "image.onnx", {"pixels": pixels})["dense"]).max() > 1e-3


def test_the_manifest_is_complete_and_core_runs_the_folder(exported, noise):
    _, folders = exported("clip")
    manifest = json.loads((folders[48] / "manifest.json").read_text())
    assert manifest["grid"] == [6, 6]
    assert manifest["licence"] == "mit"
    assert set(manifest["verification"]["max_error"]) == {
        "text", "image (transformers)", "image", "dense", "regions",
    }  # fmt: skip
    assert max(manifest["verification"]["max_error"].values()) <= TOLERANCE
    assert manifest["verification"]["batches"][:2] == [1, 7]
    encoder = load_encoder(folders[48])
    encoded = encoder.encode(noise(3, 48))
    assert encoded.regions.shape == (3, encoder.n_regions, encoder.dim)
    assert encoded.assignment.shape == (3, 36)
    np.testing.assert_allclose(np.linalg.norm(encoded.regions, axis=-1), 1, atol=1e-4)


def test_a_manifest_that_does_not_match_its_file_is_refused(tiny_encoder, tmp_path):
    (out,) = export_encoder(str(tiny_encoder("clip")), tmp_path / "x")
    graph = bytearray((out / "image.onnx").read_bytes())
    graph[-5] ^= 1
    (out / "image.onnx").write_bytes(bytes(graph))
    with pytest.raises(InputError, match="does not match its manifest"):
        load_encoder(out)


def test_omega_is_symmetric_one_on_the_diagonal_and_zero_for_the_class_token():
    omega = neighbourhood((3, 5), Dense(sigma=2.0), class_token=True)
    assert omega.shape == (16, 16)
    assert (omega[0] == 0).all()
    assert (omega[:, 0] == 0).all()
    assert torch.equal(omega, omega.T)
    assert (omega.diagonal()[1:] == 1).all()
    assert omega[1, 2] == pytest.approx(np.exp(-1 / 8))


def test_positions_of_the_native_grid_are_unchanged():
    table = torch.randn(17, 6)
    assert torch.equal(positions_for(table, (4, 4), True, antialias=False)[0], table)
    assert positions_for(table, (6, 5), True, antialias=False).shape == (1, 31, 6)
    with pytest.raises(InputError, match="not a square grid"):
        positions_for(torch.randn(15, 6), (4, 4), False, antialias=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("nan", "NaN"),
        ("classifier", "not an image-text encoder"),
        ("pickle", "pickle"),
        ("no processor", "preprocessor_config.json"),
        ("remote code", "own Python code"),
        ("missing weights", "lacks"),
        ("size", "multiple of the model's patch size"),
        ("sigma", "a number of patches above 0"),
        ("bad json", "is not valid JSON"),
    ],
)
def test_bad_models_are_refused_with_one_line_and_no_output(
    tiny_encoder, tiny_classifier, tmp_path, damage, message
):
    import shutil

    from safetensors.torch import load_file, save_file

    source, out = tmp_path / "model", tmp_path / "made" / "out"
    shutil.copytree(tiny_classifier("vit") if damage == "classifier" else tiny_encoder("clip"), source)
    weights = source / "model.safetensors"
    options = {}
    if damage in ("nan", "missing weights"):
        tensors = load_file(weights)
        name = "visual_projection.weight"
        if damage == "nan":
            tensors[name][0, 0] = float("nan")
        else:
            del tensors[name]
        save_file(tensors, weights, metadata={"format": "pt"})
    elif damage == "pickle":
        weights.rename(source / "pytorch_model.bin")
    elif damage == "no processor":
        (source / "preprocessor_config.json").unlink()
    elif damage == "remote code":
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    elif damage == "bad json":
        (source / "config.json").write_text("{")
    elif damage == "size":
        options["sizes"] = (33,)

    def attempt():
        dense = Dense(sigma=0) if damage == "sigma" else Dense()
        export_encoder(str(source), out, EncoderOptions(dense=dense, **options))

    with pytest.raises(InputError, match=message) as caught:
        attempt()
    assert "\n" not in str(caught.value)
    assert not out.exists()
    assert not (tmp_path / "made").exists() or not list((tmp_path / "made").iterdir())


def test_a_failed_verification_writes_nothing(tiny_encoder, tmp_path, monkeypatch):
    from inficond.export import towers

    correct = towers.LinearHead.forward
    wrong = lambda self, tokens, pooled: correct(self, tokens, pooled) + 0.05  # noqa: E731
    monkeypatch.setattr(towers.LinearHead, "forward", wrong)
    with pytest.raises(InputError, match="verification failed: image"):
        export_encoder(str(tiny_encoder("clip")), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_without_the_option(tiny_encoder, tmp_path):
    source = str(tiny_encoder("clip"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match="holds other files"):
        export_encoder(source, tmp_path / "mine")
    (out,) = export_encoder(source, tmp_path / "model")
    with pytest.raises(InputError, match="--overwrite"):
        export_encoder(source, out)
    export_encoder(source, out, EncoderOptions(overwrite=True))
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"
