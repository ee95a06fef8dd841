"""Models of open_clip with random weights, saved as on a hub."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tests.export.conftest import randomise

from inficond.export.open_clip_encoder import import_open_clip

open_clip = import_open_clip("this test")
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
OWN = {"width": 32, "head_width": 8, "layers": 3, "patch_size": 8, "image_size": 32}
MODELS: dict[str, dict[str, Any]] = {
    "vit": {"vision_cfg": OWN},
    "vit, mean, quick": {"vision_cfg": {**OWN, "pool_type": "avg"}, "quick_gelu": True},
    "coca": {
        "vision_cfg": {**OWN, "attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
        "custom_text": True,
    },
    "resnet": {"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}},
    "convnext": {
        "vision_cfg": {
            "image_size": 64, "timm_model_name": "convnext_atto", "timm_pool": "", "timm_proj": "linear"
        }
    },
    "pe-core": {
        "vision_cfg": {
            "image_size": 384,
            "timm_model_name": "vit_pe_core_tiny_patch16_384",
            "timm_pool": "map",
            "timm_proj": None,
        },
        "custom_text": True,
    },
    "siglip": {
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "embed_dim": 192,
        "custom_text": True,
        "init_logit_bias": -10,
    },
}  # fmt: skip
PREPROCESSING = {
    "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear", "resize_mode": "squash"
}  # fmt: skip


def save_model(kind: str, folder: Path) -> Any:
    """Save a tiny model with random weights as on a hub; return it."""
    settings = {"embed_dim": 24, "text_cfg": dict(TEXT), **json.loads(json.dumps(MODELS[kind]))}
    config = {"model_cfg": settings, "preprocess_cfg": PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    arguments = json.loads(json.dumps(settings))
    custom = arguments.pop("custom_text", False)
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**arguments).eval()
    randomise(model, seed=len(kind))
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm | torch.nn.BatchNorm2d):
            module.weight.data = 1 + module.weight.data
    save_weights(model, folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return model


def save_pretrained(architecture: str, tag: str, folder: Path) -> tuple[str, Any]:
    """Save random weights of an architecture as those of a tag; return the tag's repository and the model."""
    settings = open_clip.get_pretrained_cfg(architecture, tag)
    repository, _, file = settings["hf_hub"].rpartition("/")
    assert not file, "the tag names a file, not a repository with the usual one"
    torch.manual_seed(7)
    model = open_clip.create_model(architecture, force_quick_gelu=settings["quick_gelu"]).eval()
    save_weights(model, folder)
    return repository, model


def save_weights(model: Any, folder: Path) -> None:
    """Write the weights under the name that open_clip downloads."""
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")


def text_embeddings(model: Any, texts: list[str]) -> np.ndarray:
    """Return the model's own embeddings of texts, unit length."""
    tokens = open_clip.SimpleTokenizer(context_length=model.context_length)(texts)
    with torch.no_grad():
        return torch.nn.functional.normalize(model.encode_text(tokens), dim=-1).numpy()
