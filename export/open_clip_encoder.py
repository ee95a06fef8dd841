"""Image-text models of open_clip: by architecture and tag, from a hub, or from a folder."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from inficond.core.errors import InputError, first_line, unknown
from inficond.core.file_access import in_home
from inficond.core.models.presets import HUB, OPEN_CLIP, TENSOR_FILES
from inficond.export.encoder_model import EncoderModel
from inficond.export.library_model import PictureTransform
from inficond.export.open_clip_tokens import OpenClipTokens
from inficond.export.open_clip_towers import NACLIP, OpenClipText, OpenClipTower
from inficond.export.preprocessing import Preprocessing
from inficond.export.preprocessing_measurement import Stated, measure
from inficond.export.source import check_safetensors, first_bad_weight, licence_of
from inficond.export.text import CLIP_TEMPLATES, SIGLIP_TEMPLATES
from inficond.export.torchvision_import import import_torchvision
from inficond.export.towers import Dense

CONFIG = "open_clip_config.json"
EXTRA = "open-clip"


@dataclass(kw_only=True)
class OpenClipEncoder(EncoderModel):
    """A model of open_clip.

    Attributes
    ----------
    source : str
        Where it comes from, for the manifest.
    create : callable
        Loads the model for an input size; None: its own.
    original_tokenizer : object
    """

    source: str
    create: Callable[[tuple[int, int] | None], Any]
    original_tokenizer: Any
    _models: dict[tuple[int, int], Any] = field(default_factory=dict)

    library = "open_clip"

    def origin(self) -> dict[str, Any]:
        """Return the manifest's entries about the model's origin."""
        import open_clip  # pyright: ignore[reportMissingImports]

        kind = type(self._model(self.preprocessing.size)).__name__
        return {
            "source": self.source,
            "revision": None,
            "architectures": [kind],
            "library": f"open_clip {open_clip.__version__}",
        }

    def tokens(self, templates: Sequence[str]) -> OpenClipTokens:
        """Return the tokenizer as it will be written."""
        return OpenClipTokens(self.name, self.original_tokenizer, templates)

    def text_tower(self) -> OpenClipText:
        """Return the text tower."""
        return OpenClipText(self._model(self.preprocessing.size)).eval()

    def image_tower(self, preprocessing: Preprocessing, dense: Dense) -> OpenClipTower:
        """Return the image tower for an input size."""
        return OpenClipTower(self._model(preprocessing.size), preprocessing, dense, self.name).eval()

    def reference(self, tower: Any, x: Tensor) -> Tensor:
        """Return the model's own image embedding of normalised pixels (B, 3, H, W), unit length."""
        found = self._model((int(x.shape[2]), int(x.shape[3]))).encode_image(x)
        return F.normalize(found[0] if isinstance(found, tuple) else found, dim=-1)

    def dense_facts(self, tower: Any, dense: Dense) -> dict[str, Any]:
        """Return the manifest's entry about the dense recipe."""
        facts = {"sigma": dense.sigma, "window": dense.window} if tower.method == NACLIP else {}
        return {"method": tower.method, **facts}

    def _model(self, size: tuple[int, int]) -> Any:
        if size not in self._models:
            self._models[size] = self.create(size)
        return self._models[size]


def is_open_clip(spec: str) -> bool:
    """Return whether a specification names a model of open_clip."""
    return spec.startswith((OPEN_CLIP, HUB)) or (in_home(spec) / CONFIG).is_file()


def import_open_clip(needed_by: str) -> Any:
    """Import open_clip.

    Raises
    ------
    InputError
        It is not installed, or not together with a torchvision that works.
    """
    try:
        import_torchvision(needed_by)
        import open_clip  # pyright: ignore[reportMissingImports]
    except (ImportError, InputError) as error:
        missing = getattr(error, "name", None) or "torchvision"
        raise InputError(
            f"{needed_by} needs {missing}, which is not installed or does not work here: "
            f"pip install 'inficond[{EXTRA}]'"
        ) from None
    return open_clip


def load_open_clip_encoder(spec: str, revision: str | None) -> OpenClipEncoder:
    """Load a model of open_clip.

    Parameters
    ----------
    spec : str
        ``open_clip:ARCH/TAG``, ``open_clip:ARCH/FILE`` with weights of one's own, ``hf-hub:ORG/NAME``, or a
        folder with `open_clip_config.json`.
    revision : str or None
        Refused, because open_clip always takes the newest commit.

    Raises
    ------
    InputError
        open_clip is not installed, or the model cannot be found or used.
    """
    library = import_open_clip(spec)
    if revision is not None:
        raise InputError(f"{spec} is loaded by open_clip, which knows no revisions: leave --revision out")
    if spec.startswith(OPEN_CLIP):
        named = _of_architecture(library, spec)
    elif spec.startswith(HUB):
        repository = spec.removeprefix(HUB)
        named = _Named(spec, spec, f"https://huggingface.co/{repository}", {}, repository)
    else:
        named = _of_folder(in_home(spec))
    return _loaded(library, named)


@dataclass(frozen=True)
class _Named:
    """Arguments of open_clip for a model, and its description."""

    name: str
    model: str
    source: str
    arguments: dict[str, Any]
    described: Path | str | None
    """Folder or repository whose README states the licence."""


def _licence(described: Path | str | None) -> str | None:
    if isinstance(described, str):
        from huggingface_hub import hf_hub_download

        try:
            described = Path(hf_hub_download(described, "README.md")).parent
        except Exception:  # a repository without a README, or no network
            return None
    return None if described is None else licence_of(described)


def _of_architecture(library: Any, spec: str) -> _Named:
    architecture, _, tag = spec.removeprefix(OPEN_CLIP).partition("/")
    known = library.list_models()
    if architecture not in known:
        raise unknown("architecture of open_clip", architecture, known)
    tags = library.list_pretrained_tags_by_model(architecture)
    file = in_home(tag)
    if tag and file.suffix in TENSOR_FILES and tag not in tags:
        if not file.is_file():
            raise InputError(f"{spec}: there is no file {file}")
        if file.suffix == ".safetensors":
            check_safetensors(file)
        name = f"{architecture} ({file.name})"
        return _Named(name, architecture, spec, {"pretrained": str(file)}, None)
    if tag not in tags:
        if not tags:
            raise InputError(
                f"open_clip has no weights of {architecture}: give those of your own as "
                f"{OPEN_CLIP}{architecture}/FILE.safetensors"
            )
        if not tag:
            raise InputError(f"{spec} names no weights: add a tag of {architecture}: {', '.join(tags)}")
        raise unknown(f"tag of {architecture} in open_clip", tag, tags)
    settings = library.get_pretrained_cfg(architecture, tag)
    arguments = {"pretrained": tag, "force_quick_gelu": bool(settings.get("quick_gelu"))}
    repository = str(settings.get("hf_hub") or "").strip("/") or None
    return _Named(f"{architecture}/{tag}", architecture, spec, arguments, repository)


def _of_folder(folder: Path) -> _Named:
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path} is not valid JSON ({first_line(error)}): download the model again"
        ) from None
    model = config.get("model_cfg") if isinstance(config, dict) else None
    if not isinstance(model, dict) or not all(
        isinstance(model.get(k), dict) for k in ("vision_cfg", "text_cfg")
    ):
        raise InputError(f"{path} has no model_cfg with vision_cfg and text_cfg: download the model again")
    if config.get("auto_map") or model.get("auto_map"):
        raise InputError(
            f"{folder} needs its own Python code to load (auto_map in {CONFIG}), which is never run"
        )
    weights = [p for p in sorted(folder.iterdir()) if p.suffix in TENSOR_FILES]
    if not weights:
        raise InputError(f"{folder} holds no weights: open_clip_model.safetensors is missing")
    for file in weights:
        if file.suffix == ".safetensors":
            check_safetensors(file)
    if model["text_cfg"].get("hf_tokenizer_name") and not any(
        (folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json")
    ):
        raise InputError(
            f"{folder} has no tokenizer, which {CONFIG} names (hf_tokenizer_name): copy tokenizer.json from "
            "the model it was trained from"
        )
    return _Named(folder.resolve().name, f"local-dir:{folder}", folder.resolve().name, {}, folder)


def _loaded(library: Any, named: _Named) -> OpenClipEncoder:
    notes: list[str] = []

    def create(size: tuple[int, int] | None) -> Any:
        with _quiet(named.name), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = library.create_model(
                named.model,
                force_image_size=None if size is None else list(size),
                require_pretrained=True,
                weights_only=True,
                **named.arguments,
            )
        notes.extend(str(w.message) for w in said if "QuickGELU" in str(w.message) and size is None)
        bad = first_bad_weight(model)
        if bad:
            raise InputError(f"{named.name} has NaN or infinite values in {bad}: download it again")
        return model.eval().requires_grad_(False)

    model = create(None)
    with _quiet(named.name, "its tokenizer"):
        tokenizer = library.get_tokenizer(named.model)
    settings = library.get_model_preprocess_cfg(model)
    from open_clip.transform import PreprocessCfg, image_transform_v2  # pyright: ignore[reportMissingImports]

    transform = image_transform_v2(PreprocessCfg(**settings), is_train=False)
    title = f"the transform of {named.name}"
    stated = Stated(
        interpolation=settings["interpolation"], mean=tuple(settings["mean"]), std=tuple(settings["std"])
    )
    preprocessing = measure(PictureTransform(transform, title), stated, title)
    siglip = model.logit_bias is not None
    return OpenClipEncoder(
        name=named.name,
        licence=_licence(named.described),
        preprocessing=preprocessing,
        templates=SIGLIP_TEMPLATES if siglip else CLIP_TEMPLATES,
        notes=notes,
        source=named.source,
        create=create,
        original_tokenizer=tokenizer,
        _models={preprocessing.size: model},
    )


@contextmanager
def _quiet(name: str, part: str = "it") -> Iterator[None]:
    """Raise failures of open_clip as one line; silence its log."""
    from transformers import dynamic_module_utils

    before, seconds = logging.root.manager.disable, dynamic_module_utils.TIME_OUT_REMOTE_CODE
    logging.disable(logging.CRITICAL)
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # fail instead of asking whether to run foreign code
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # downloads, configurations and weights fail in many ways
        said = str(error)
        if "trust_remote_code" in said or "custom code" in said:
            raise InputError(f"{name} needs its own Python code to load, which is never run") from None
        if said.startswith("Required pretrained weights"):  # open_clip only logs why
            raise InputError(
                f"{name}: the weights cannot be downloaded, or the repository has none that open_clip reads "
                "(open_clip_model.safetensors, open_clip_pytorch_model.bin): try again, or give the folder "
                "of a downloaded copy"
            ) from None
        if "download" in said or "connect" in said.lower() or "offline" in said.lower():
            raise InputError(
                f"cannot download {name}: Hugging Face cannot be reached, has no such model, or it is not in "
                f"the local cache ({first_line(error)}); give the folder of a downloaded copy"
            ) from None
        raise InputError(f"{name}: open_clip cannot load {part} ({first_line(error)})") from None
    finally:
        logging.disable(before)
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = seconds
