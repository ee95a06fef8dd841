"""Encoders of open_clip: every output equals the model, the dense features those of the formulas."""

import importlib.util
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inficond.core.cli.main import main
from inficond.core.errors import InputError

torch = pytest.importorskip("torch")
if importlib.util.find_spec("open_clip") is None or importlib.util.find_spec("torchvision") is None:
    pytest.skip("open_clip (inficond[open-clip]) is not installed", allow_module_level=True)

from tests.export.open_clip_models import MODELS, PREPROCESSING, open_clip, save_model  # noqa: E402

from inficond.core.models.encoder import load_encoder  # noqa: E402
from inficond.core.models.resolve import locate  # noqa: E402
from inficond.export.encoder import EncoderOptions, export_encoder  # noqa: E402
from inficond.export.graph import run_cpu  # noqa: E402

F = torch.nn.functional
TOLERANCE = 1e-4
SIZES = {"pe-core": 64, "siglip": 64}
quick = ["vit", "resnet"]
KINDS = [k if k in quick else pytest.param(k, marks=pytest.mark.nightly) for k in MODELS]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """`exported("vit")` -> (the model at the exported size, its folder, the model folder), made once."""
    made = {}

    def get(kind):
        if kind not in made:
            source = tmp_path_factory.mktemp("open_clip")
            save_model(kind, source)
            sizes = (SIZES[kind],) if kind in SIZES else ()
            (out,) = export_encoder(str(source), source / "out", EncoderOptions(sizes=sizes))
            model = open_clip.create_model(
                f"local-dir:{source}", force_image_size=SIZES.get(kind), require_pretrained=True
            )
            made[kind] = model.eval(), source, out
        return made[kind]

    return get


def normalised(pixels: np.ndarray) -> "torch.Tensor":
    mean, std = (torch.tensor(PREPROCESSING[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    return (torch.tensor(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std


def before_last(blocks, run) -> "torch.Tensor":
    """Return what enters the last block."""
    seen: dict[str, Any] = {}
    hook = blocks[-1].register_forward_pre_hook(lambda _, args: seen.update(x=args[0]))
    run()
    hook.remove()
    return seen["x"]


def near(q, v, grid: int, first: int, sigma: float = 5.0):
    """Compute softmax(k·kᵀ/√d + Ω)·v patch by patch, for heads (B, H, S, d); return (B, S, H·d)."""
    out = torch.zeros_like(v)
    for i in range(q.shape[2]):
        omega = torch.zeros(q.shape[2])
        for j in range(first, q.shape[2] if i >= first else first):
            (y, x), (v_, u) = divmod(i - first, grid), divmod(j - first, grid)
            omega[j] = np.exp(-((y - v_) ** 2 + (x - u) ** 2) / (2 * sigma**2))
        weights = torch.softmax((q * q[:, :, i : i + 1]).sum(-1) * q.shape[-1] ** -0.5 + omega, dim=-1)
        out[:, :, i] = (weights[..., None] * v).sum(2)
    return out.transpose(1, 2).flatten(2)


def heads(x, n: int):
    return x.unflatten(2, (n, -1)).transpose(1, 2)


def formula_vit(model, x):
    visual, block = model.visual, model.visual.transformer.resblocks[-1]
    y = block.ln_1(before_last(visual.transformer.resblocks, lambda: visual(x)))
    _, k, v = F.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias).chunk(3, -1)
    mixed = block.attn.out_proj(near(heads(k, 4), heads(v, 4), visual.grid_size[0], 1))
    return visual.ln_post(mixed[:, 1:]) @ visual.proj


def formula_resnet(model, x):
    visual, pool = model.visual, model.visual.attnpool
    seen: dict[str, Any] = {}
    hook = visual.layer4.register_forward_hook(lambda _, args, out: seen.update(x=out))
    visual(x)
    hook.remove()
    cells = seen["x"].flatten(2).transpose(1, 2)
    return pool.c_proj(pool.v_proj(cells))


def formula_pe(model, x):
    from timm.layers import apply_rot_embed_cat  # pyright: ignore[reportMissingImports, reportPrivateImportUsage]

    trunk, block = model.visual.trunk, model.visual.trunk.blocks[-1]
    y = block.norm1(before_last(trunk.blocks, lambda: trunk(x)))
    _, k, v = (heads(part, 3) for part in block.attn.qkv(y).chunk(3, -1))
    k = torch.cat([k[:, :, :1], apply_rot_embed_cat(k[:, :, 1:], trunk.rope.get_embed())], dim=2)
    patches = trunk.norm(block.attn.proj(near(k, v, 4, 1)))[:, 1:]
    pool = trunk.attn_pool
    z = pool.proj(pool.kv(patches)[..., 192:])
    return trunk.head(trunk.fc_norm(z + pool.mlp(pool.norm(z))))


FORMULAS = {"vit": formula_vit, "resnet": formula_resnet, "pe-core": formula_pe}


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_equals_the_model_and_the_formula(exported, noise, kind):
    model, _, out = exported(kind)
    manifest = json.loads((out / "manifest.json").read_text())
    size = manifest["image"]["size"][0]
    for batch in (1, 5):
        # Patches of one colour each: the cells of noise are alike.
        pixels = noise(batch, size // 8, seed=batch).repeat(8, axis=1).repeat(8, axis=2)
        got = run_cpu(out / "image.onnx", {"pixels": pixels})
        with torch.no_grad():
            x = normalised(pixels)
            image = model.encode_image(x)
            image = F.normalize(image[0] if isinstance(image, tuple) else image, dim=-1)
            assert abs(got["image"] - image.numpy()).max() <= TOLERANCE
            if kind in FORMULAS:
                dense = F.normalize(FORMULAS[kind](model, x), dim=-1)
                assert abs(got["dense"] - dense.numpy()).max() <= TOLERANCE
        spread = got["dense"].std(axis=1).max()
        assert spread > 1e-3, "every patch has the same embedding"
    assert max(manifest["verification"]["max_error"].values()) <= TOLERANCE


def test_words_preprocessing_and_licence_are_those_of_the_model(exported, tmp_path):
    model, source, out = exported("vit")
    encoder, manifest = load_encoder(out), json.loads((out / "manifest.json").read_text())
    tokenizer = open_clip.get_tokenizer(f"local-dir:{source}")
    words = ["dog", "Golden  Retriever", "T-shirt, café & 3 more", "a dog on a beach " * 9]
    with torch.no_grad():
        want = F.normalize(model.encode_text(tokenizer(words)), dim=-1).numpy()
    np.testing.assert_allclose(encoder.embed_words(words, ["{}"]), want, atol=TOLERANCE)
    assert (manifest["licence"], manifest["image"]["interpolation"]) == ("mit", "bilinear")
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    settings = open_clip.get_model_preprocess_cfg(model)
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**settings), is_train=False
    )
    pixels = encoder.preprocess(Image.fromarray(picture))
    difference = abs(normalised(pixels[None])[0] - transform(Image.fromarray(picture))).max()
    assert difference <= 1e-5


def test_a_project_and_its_exported_student_give_the_same_probabilities(exported, tmp_path, capsys):
    encoder = exported("vit")[2]
    rng = np.random.default_rng(1)
    for i in range(24):
        folder = tmp_path / "images" / ("light" if i % 2 else "dark")
        folder.mkdir(parents=True, exist_ok=True)
        level = rng.integers(0, 100, (4, 4, 3)) + 150 * (i % 2)
        Image.fromarray(level.astype(np.uint8)).resize((48, 40)).save(folder / f"{i}.png")
    words = tmp_path / "words.txt"
    words.write_text("dog\ngrass\nsky\nwater\nsnow\nnight\n")
    project, student = tmp_path / "project", tmp_path / "student.onnx"
    argv = ["distill", str(tmp_path / "images"), "--out", str(project), "--encoder", str(encoder)]
    assert main([*argv, "--teacher", "labels", "--concepts", str(words), "--no-baseline"]) == 0
    assert main(["export", "student", str(project), "--out", str(student)]) == 0
    capsys.readouterr()
    assert main(["predict", str(student), str(tmp_path / "images"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["images"]
    assert len(rows) == 24
    assert np.std([row["probabilities"]["light"] for row in rows]) > 1e-3


def test_weights_of_ones_own_by_architecture(monkeypatch, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    save_model("vit", source)
    config = json.loads((source / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "ViT-tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "ViT-tiny.json")
    weights = source / "open_clip_model.safetensors"
    (out,) = export_encoder(f"open_clip:ViT-tiny/{weights}", tmp_path / "out")
    assert json.loads((out / "manifest.json").read_text())["name"] == "ViT-tiny (open_clip_model.safetensors)"
    with pytest.raises(InputError, match="names a file of weights: make a model folder"):
        locate(f"open_clip:ViT-tiny/{weights}", "encoder")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "open_clip:ViT-B-17/openai",
            "unknown architecture of open_clip 'ViT-B-17': did you mean .*ViT-B-16",
        ),
        ("open_clip:ViT-B-16/openay", "unknown tag of ViT-B-16 in open_clip 'openay': did you mean .*openai"),
        ("open_clip:ViT-B-16", "names no weights: add a tag of ViT-B-16: .*openai"),
        ("open_clip:ViT-B-16/none.safetensors", "there is no file none.safetensors"),
    ],
)
def test_unknown_names_get_the_nearest_ones(tmp_path, spec, message):
    with pytest.raises(InputError, match=message):
        export_encoder(spec, tmp_path / "out")


def test_a_repository_whose_weights_cannot_be_downloaded_gets_one_line(monkeypatch, tmp_path):
    save_model("vit", tmp_path)

    def download(repository, filename=None, **options):
        if filename is None:  # the weights
            raise FileNotFoundError
        return str(tmp_path / filename)

    monkeypatch.setattr("open_clip.factory.download_pretrained_from_hf", download)
    with pytest.raises(InputError, match="hf-hub:a/b: the weights cannot be downloaded"):
        export_encoder("hf-hub:a/b", tmp_path / "out")


def test_folders_that_cannot_be_used_get_one_line(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_model("vit", folder)
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())

    def refused(change, message):
        changed = json.loads(json.dumps(config))
        change(changed)
        path.write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message) as error:
            export_encoder(str(folder), tmp_path / "out")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "out").exists()

    refused(lambda c: c["model_cfg"]["text_cfg"].update(hf_tokenizer_name="x/y"), "has no tokenizer")
    refused(lambda c: c.update(auto_map={"A": "b"}), "needs its own Python code")
    refused(lambda c: c.pop("model_cfg"), "has no model_cfg")
    refused(lambda c: c["model_cfg"]["vision_cfg"].update(qk_norm=True), "cannot load it|blocks of the kind")
    refused(lambda c: c["model_cfg"]["vision_cfg"].update(width=64), "cannot load it")
    refused(lambda c: (folder / "open_clip_model.safetensors").unlink(), "holds no weights")
    path.write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        export_encoder(str(folder), tmp_path / "out")
