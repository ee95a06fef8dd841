"""Tiny models of the real transformers classes with random weights, saved as on a hub."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inficond.export.torchvision_import import import_torchvision

torch = pytest.importorskip("torch", reason="the exporter needs the `export` extra")
transformers = pytest.importorskip("transformers", reason="the exporter needs the `export` extra")
import_torchvision()  # before transformers looks for it

WORDS = [
    "a",
    "the",
    "of",
    "photo",
    "dog",
    "cat",
    "grass",
    "water",
    "sky",
    "wheel",
    "fur",
    "wood",
    "metal",
    "red",
    "blue",
    "tree",
    "face",
    "car",
    "boat",
    "sand",
]
ENCODERS = ["clip", "siglip", "siglip2", "chinese_clip"]
CLASSIFIERS = ["vit", "convnext", "resnet", "swin"]


def randomise(model: Any, seed: int) -> None:
    """Set weights at which each block matters; a fresh tiny transformer is nearly the identity."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        fan = p[0].numel() if p.ndim > 1 else 1
        if "norm" in name and name.endswith("weight"):
            p.data = 1 + 0.1 * noise
        elif p.ndim > 1:
            p.data = noise * fan**-0.5
        else:
            p.data = 0.1 * noise
    for name, b in model.named_buffers():
        if name.endswith("running_var"):
            b.data = 0.5 + torch.rand(b.shape, generator=generator)
        elif name.endswith("running_mean"):
            b.data = 0.1 * torch.randn(b.shape, generator=generator)


def save_tokenizer(folder: Path, start: str | None, end: str | None, length: int) -> None:
    """Save a word-level tokenizer that adds the special tokens of the text tower."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", *WORDS, "[CLS]", "[SEP]"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [(t, vocabulary[t]) for t in (start, end) if t]
    single = " ".join(t for t in (start, "$A", end) if t)
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token=end,
        model_max_length=length,
    )
    fast.save_pretrained(folder)


def make_encoder(kind: str, folder: Path, size: int = 32, patch: int = 8) -> Path:
    """Save a tiny image-text model of one of the real classes, with processor and tokenizer."""
    vocabulary = len(WORDS) + 4
    end = vocabulary - 1
    vision: dict[str, Any] = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    }  # fmt: skip
    text = dict(vision, vocab_size=vocabulary, max_position_embeddings=16, pad_token_id=0)
    torch.manual_seed(7)
    if kind == "clip":
        config = transformers.CLIPConfig(
            vision_config=dict(vision, image_size=size, patch_size=patch),
            text_config=dict(text, eos_token_id=end, bos_token_id=end - 1),
            projection_dim=24,
        )
        model = transformers.CLIPModel(config)
    elif kind == "siglip":
        config = transformers.SiglipConfig(
            vision_config=dict(vision, image_size=size, patch_size=patch),
            text_config=dict(text, projection_size=32, eos_token_id=end, bos_token_id=end - 1),
        )
        model = transformers.SiglipModel(config)
    elif kind == "siglip2":
        config = transformers.Siglip2Config(
            vision_config=dict(vision, num_patches=(size // patch) ** 2, patch_size=patch),
            text_config=dict(text, projection_size=32, eos_token_id=end, bos_token_id=end - 1),
        )
        model = transformers.Siglip2Model(config)
    elif kind == "tipsv2":
        heads = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
        config = transformers.Tipsv2Config(
            vision_config=dict(heads, image_size=size, patch_size=patch, mlp_ratio=2),
            text_config=dict(heads, intermediate_size=64, vocab_size=vocabulary, max_position_embeddings=16),
        )
        model = transformers.Tipsv2Model(config)
    else:
        config = transformers.ChineseCLIPConfig(
            vision_config=dict(vision, image_size=size, patch_size=patch), text_config=text, projection_dim=24
        )
        model = transformers.ChineseCLIPModel(config)
    randomise(model, seed=len(kind))
    model.save_pretrained(folder)
    if kind == "siglip2":
        processor = transformers.Siglip2ImageProcessorPil(
            patch_size=patch, max_num_patches=(size // patch) ** 2
        )
    elif kind == "tipsv2":  # the pixels of its own processor, which exists for torchvision only
        processor = transformers.ViTImageProcessorPil(
            size={"height": size, "width": size}, do_normalize=False
        )
    elif kind == "siglip":
        processor = transformers.SiglipImageProcessorPil(size={"height": size, "width": size})
    else:
        processor = transformers.CLIPImageProcessorPil(
            size={"shortest_edge": size}, crop_size={"height": size, "width": size}
        )
    processor.save_pretrained(folder)
    bert = kind == "chinese_clip"
    save_tokenizer(folder, "[CLS]" if bert or kind == "clip" else None, "[SEP]", 16)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nA tiny model with random weights.\n")
    return folder


def make_classifier(kind: str, folder: Path, size: int = 32, labels: int = 5) -> Path:
    """Save a tiny image classifier of one of the real classes, with its processor."""
    names = {"id2label": {i: f"label {i}" for i in range(labels)}}
    names |= {"label2id": {v: k for k, v in names["id2label"].items()}}
    if kind == "vit":
        config: Any = transformers.ViTConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            image_size=size, patch_size=8, **names,
        )  # fmt: skip
    elif kind == "convnext":
        config = transformers.ConvNextConfig(
            hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], image_size=size, **names
        )
    elif kind == "resnet":
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic", **names
        )
    else:
        config = transformers.SwinConfig(
            image_size=size,
            patch_size=2,
            embed_dim=16,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=4,
            **names,
        )
    torch.manual_seed(7)
    model = transformers.AutoModelForImageClassification.from_config(config)
    randomise(model, seed=len(kind))
    model.save_pretrained(folder)
    if kind == "convnext":
        processor: Any = transformers.ConvNextImageProcessorPil(size={"shortest_edge": size})
    else:
        processor = transformers.ViTImageProcessorPil(size={"height": size, "width": size})
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from an architecture to the folder of a tiny encoder, made once."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_encoder(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return get


@pytest.fixture(scope="session")
def tiny_classifier(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from an architecture to the folder of a tiny classifier, made once."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_classifier(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return get


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """Return a function from count and size to random pixels, uint8 (n, size, size, 3)."""
    return lambda n, size, seed=0: np.random.default_rng(seed).integers(
        0, 256, (n, size, size, 3), dtype=np.uint8
    )
