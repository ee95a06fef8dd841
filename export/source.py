"""Location of a model: a local folder, or a Hugging Face repository downloaded into one."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, first_line, system_reason
from inficond.core.file_access import in_home
from inficond.core.models.foreign_files import advice_for_file, library_of
from inficond.core.models.manifest import Kind
from inficond.core.models.resolve import page_of_hub
from inficond.export.torchvision_import import import_torchvision

PATTERNS = ["*.json", "*.txt", "*.model", "*.safetensors", "README.md"]
CONVERTER = "SFconvertbot"
PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
OTHER_WEIGHTS = {".h5": "TensorFlow", ".msgpack": "Flax", ".gguf": "llama.cpp", ".tflite": "TensorFlow Lite"}
INDEX = "model.safetensors.index.json"
WRAPPERS = {"module.": "DataParallel", "_orig_mod.": "torch.compile", "model.": "PyTorch Lightning"}
"""Prefix of the names of weights -> the tool that adds it."""
_HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_LFS = b"version https://git-lfs"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A transformers model folder on this machine, with its origin.

    Attributes
    ----------
    folder : Path
        Holds `config.json` and safetensors.
    name : str
        The repository id, or the folder's name.
    revision : str or None
        Commit of the repository; None for a local folder.
    licence : str or None
        From the front matter of its README, where there is one.
    """

    folder: Path
    name: str
    revision: str | None
    licence: str | None

    @property
    def config(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return json.loads((self.folder / "config.json").read_text(encoding="utf-8-sig"))

    def describe(self) -> dict[str, Any]:
        """Return the manifest's entries about the model's origin."""
        origin = self.name if self.revision is None else f"https://huggingface.co/{self.name}@{self.revision}"
        return {
            "source": origin,
            "revision": self.revision,
            "architectures": self.config.get("architectures"),
        }


def find_source(spec: str, revision: str | None = None, kind: Kind = "teacher") -> Source:
    """Find a model, downloading it where it is a Hugging Face id.

    Parameters
    ----------
    spec : str
        A local folder, or a Hugging Face id such as ``openai/clip-vit-base-patch16``.
    revision : str, optional
        Branch, tag or commit of the repository.
    kind : {"encoder", "teacher"}
        What it becomes, for messages.

    Raises
    ------
    InputError
        There is no such model, no network to download it with, or its files cannot be used.
    """
    local = in_home(spec)
    if local.is_dir():
        folder, name, commit = local, local.resolve().name, None
    elif local.exists():
        raise InputError(f"{spec} is a file, not a model folder: {_advice_for_file(local, kind)}")
    elif page_of_hub(spec):
        raise InputError(f"{spec} is not a Hugging Face id: give {page_of_hub(spec)}")
    elif not _HUB_ID.match(spec) or spec.startswith("."):
        raise InputError(f"there is no folder {spec}, and it is not a Hugging Face id (owner/name)")
    else:
        folder, name = _fetch(spec, revision), spec
        commit = folder.name
    _check(folder, spec)
    return Source(folder=folder, name=name, revision=commit, licence=licence_of(folder))


def _advice_for_file(path: Path, kind: Kind) -> str:
    if library_of(path) is None:
        return "give the folder of a transformers model, or a Hugging Face id"
    return advice_for_file(path, kind)


def _fetch(spec: str, revision: str | None) -> Path:
    """Download a repository's safetensors and descriptions; every failure is one line."""
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = Path(snapshot_download(spec, revision=revision, allow_patterns=PATTERNS))
        if revision is None and not any(folder.glob("*.safetensors")):
            converted = _converted_revision(spec)
            if converted is not None:
                folder = Path(snapshot_download(spec, revision=converted, allow_patterns=PATTERNS))
        return folder
    except GatedRepoError:
        raise InputError(
            f"{spec} is a gated model: accept its terms on its page, then log in with `hf auth login`"
        ) from None
    except RevisionNotFoundError:
        raise InputError(
            f"{spec} has no revision {revision!r}: see the branches and commits on its page"
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            f"Hugging Face has no model {spec!r}: check the spelling, or log in if it is private"
        ) from None
    except HFValidationError:
        raise InputError(f"there is no folder {spec}, and it is not a Hugging Face id (owner/name)") from None
    except (LocalEntryNotFoundError, httpx.TransportError, ConnectionError, TimeoutError):
        raise InputError(
            f"cannot download {spec}: Hugging Face cannot be reached and the model is not in the local cache;"
            " give the folder of a downloaded copy"
        ) from None
    except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise InputError(f"cannot download {spec}: {str(error).splitlines()[0]}") from None


def _converted_revision(spec: str) -> str | None:
    """Return the revision in which Hugging Face's service offers a pickled model as safetensors, or None.

    Only its account is accepted, because everyone can open a pull request under the same title.
    """
    from huggingface_hub import HfApi

    offers = HfApi().get_repo_discussions(spec, author=CONVERTER, discussion_type="pull_request")
    for offer in offers:
        if offer.author == CONVERTER and "safetensors" in offer.title and offer.status != "closed":
            return f"refs/pr/{offer.num}"
    return None


def _check(folder: Path, spec: str) -> None:
    """Check that a folder holds a transformers model whose files can be used."""
    config = folder / "config.json"
    if not config.is_file():
        raise InputError(_not_a_model(folder, spec))
    try:
        parsed = json.loads(config.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{config} is not valid JSON ({error}): {_remedy(config)}") from None
    if not isinstance(parsed, dict):
        raise InputError(f"{config} does not hold a JSON object")
    if parsed.get("auto_map"):
        raise InputError(
            f"{spec} needs its own Python code to load (auto_map in config.json), which is never run: "
            "choose a "
            "model of an architecture that transformers includes"
        )
    if parsed.get("quantization_config"):
        settings = parsed["quantization_config"]
        method = settings.get("quant_method", "an unknown method") if isinstance(settings, dict) else settings
        raise InputError(
            f"{spec} holds weights quantized with {method}: name the original model, or save it dequantized "
            "(model.dequantize() and save_pretrained)"
        )
    _check_weights(folder, spec)


def _remedy(path: Path) -> str:
    """Return what to do about a file of a model that is not what its name says."""
    start = path.read_bytes()[:200].lstrip()
    if not start:
        return "the file is empty; download the model again"
    if start[:1] == b"<":
        return "it is a web page, probably an error or a login page of a hub; download the model again"
    if start.startswith(_LFS):
        return "it is a pointer of Git LFS; run `git lfs pull` in its folder"
    return "download the model again, or save it again with save_pretrained"


def _not_a_model(folder: Path, spec: str) -> str:
    """One line for a folder without `config.json`."""
    if (folder / "open_clip_config.json").is_file():
        return f"{spec} is a model of open_clip: give it as hf-hub:{spec}"
    if (folder / "adapter_config.json").is_file():
        return (
            f"{spec} holds an adapter (adapter_config.json), not a whole model: merge it into its base model "
            "(merge_and_unload() and save_pretrained of peft)"
        )
    if any(folder.glob("*.onnx")):
        return f"{spec} holds an ONNX file: write a manifest.json beside it, see docs/encoders.md"
    return f"{spec} has no config.json, so it is not a model folder of transformers"


def _check_weights(folder: Path, spec: str) -> None:
    """Check that the weights are there, whole, and not pickled."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        names = sorted(p for p in folder.iterdir() if p.is_file())
        pickled = [p.name for p in names if p.suffix in PICKLED]
        if pickled:
            raise InputError(
                f"{spec} has its weights only as {pickled[0]}, a pickle, which is never loaded: give a "
                "--revision with model.safetensors, or save the model as safetensors (save_pretrained)"
            )
        other = [p for p in names if p.suffix in OTHER_WEIGHTS]
        found = (
            f"only weights of {OTHER_WEIGHTS[other[0].suffix]} ({other[0].name})" if other else "no weights"
        )
        raise InputError(
            f"{spec} has {found}: model.safetensors is missing; give a --revision that has it, or save the "
            "model as safetensors (save_pretrained)"
        )
    index = folder / INDEX
    if index.is_file() and not (folder / "model.safetensors").is_file():
        try:
            parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, TypeError):
            raise InputError(f"{index} is damaged: download the model again") from None
        missing = sorted(str(p) for p in parts if not (folder / str(p)).is_file())
        if missing:
            raise InputError(
                f"{spec} lacks {len(missing)} of the {len(parts)} files of its weights, {missing[0]} among "
                "them: download the model again"
            )
    for path in weights:
        check_safetensors(path)


def check_safetensors(path: Path) -> None:
    """Check that a safetensors file is whole; the library's messages speak of its header only.

    Raises
    ------
    InputError
        It is missing, damaged, a pointer of Git LFS or a pickle.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS))
    except OSError as error:
        raise InputError(f"cannot read {path}: {system_reason(error)}") from None
    if start == _LFS:
        raise InputError(
            f"{path} is a pointer of Git LFS, not the weights: run `git lfs pull` in its folder, or download "
            "the model again"
        )
    try:
        with safe_open(path, "pt") as file:
            kinds = {key: (part.get_dtype(), len(part.get_shape())) for key, part in _slices(file)}
    except (SafetensorError, OSError) as error:
        if not start.strip() or start.lstrip()[:1] == b"<":
            raise InputError(f"{path} does not hold weights: {_remedy(path)}") from None
        if start[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
            raise InputError(
                f"{path} is a pickle under another name, which is never loaded: save the model as safetensors"
            ) from None
        raise InputError(
            f"{path} ({path.stat().st_size:,} bytes) is damaged or incomplete ({error}): download the model "
            "again"
        ) from None
    bytes_only = next((key for key, (kind, axes) in kinds.items() if kind in ("I8", "U8") and axes > 1), None)
    if bytes_only is not None:
        raise InputError(
            f"{path} holds weights of 8-bit integers ({bytes_only}), whose scale is not stated as "
            "transformers states it: save the model before it was quantized"
        )


def _slices(file: Any) -> Iterator[tuple[str, Any]]:
    for key in file.keys():  # noqa: SIM118  # not a mapping
        yield key, file.get_slice(key)


def licence_of(folder: Path) -> str | None:
    """Return the licence in the front matter of a folder's README, or None."""
    readme = folder / "README.md"
    if not readme.is_file():
        return None
    text = readme.read_text(encoding="utf-8", errors="replace")
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^licen[sc]e:\s*['\"]?([\w.+-]+)", front.group(1), re.MULTILINE) if front else None
    return found.group(1) if found else None


def load_config(source: Source, raw: dict[str, Any] | None = None) -> Any:
    """Return a model's transformers configuration.

    Parameters
    ----------
    source : Source
    raw : dict, optional
        Content to use in place of `config.json`.

    Raises
    ------
    InputError
        It names no architecture that transformers includes, or holds values that do not fit.
    """
    import_torchvision()  # before transformers looks for it
    import transformers
    from transformers import CONFIG_MAPPING

    raw = source.config if raw is None else raw
    kind = raw.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise InputError(
            f'{source.name}: model_type in config.json must be a text such as "vit", not {str(kind)[:40]}'
        )
    if kind is None:
        raise InputError(
            f"{source.name}: config.json has no model_type, so its architecture is unknown: add the line, "
            "for "
            'example "model_type": "vit", or save the model again with save_pretrained'
        )
    try:
        configuration = CONFIG_MAPPING[kind]
    except KeyError:
        raise InputError(
            f"{source.name}: transformers {transformers.__version__} does not include the architecture "
            f"{str(kind)[:60]!r} (model_type in config.json): upgrade transformers, or export the model to "
            "ONNX with its own tools and give a folder with a manifest.json"
        ) from None
    try:
        return configuration.from_dict(raw)
    except ImportError as error:
        raise missing_library(source.name, error) from None
    except Exception as error:  # validation fails in many ways
        raise InputError(
            f"{source.name}: config.json holds a value that does not fit a {kind} model "
            f"({first_line(error)}): "
            "correct it, or save the model again with save_pretrained"
        ) from None


def missing_library(name: str, error: ImportError) -> InputError:
    """Return the error for a model that needs a library that is not installed."""
    found = re.search(r"requires the (\S+) library|pip install ([\w-]+)|No module named '(\w+)", str(error))
    library = next((g for g in found.groups() if g), None) if found else None
    library = (library or "another library").strip("`'\"")
    install = f"pip install {library.lower()}" if found else str(error).strip().splitlines()[0][:200]
    return InputError(f"{name} needs {library}, which is not installed: {install}")


def load_model(source: Source, factory: Any, unused: list[str] | None = None, **kwargs: Any) -> Any:
    """Load a transformers model in evaluation mode, float32, from safetensors and without remote code.

    Parameters
    ----------
    source : Source
    factory : type
        `AutoModel`, `ViTForImageClassification`, …
    unused : list of str, optional
        Receives the names of the weights that the model has no place for.
    **kwargs
        Passed to `from_pretrained`.

    Raises
    ------
    InputError
        The folder's weights do not make that model.
    """
    import torch

    try:
        model, info = factory.from_pretrained(
            source.folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **kwargs,
        )
    except ImportError as error:
        raise missing_library(source.name, error) from None
    except Exception as error:  # a configuration that does not fit fails anywhere in the library
        raise InputError(
            f"{source.name} cannot be loaded as {factory.__name__}: config.json does not describe these "
            f"weights ({first_line(error)})"
        ) from None
    mismatched = sorted(info.get("mismatched_keys") or [])
    if mismatched:
        raise ShapeMismatch(source.name, [(k, tuple(s), tuple(e)) for k, s, e in mismatched])
    missing = sorted(info.get("missing_keys") or [])
    if missing:
        unused = list(info.get("unexpected_keys") or [])
        raise InputError(
            _wrapped(source.name, missing, unused)
            or f"{source.name} lacks {len(missing)} of the weights of a {type(model).__name__}, {missing[0]} "
            "among them: config.json names another architecture, or the model was saved without its head"
        )
    if unused is not None:
        unused += sorted(info.get("unexpected_keys") or [])
    bad = first_bad_weight(model)
    if bad:
        raise InputError(
            f"{source.name} has NaN or infinite values in {bad}: the download or the training went wrong"
        )
    return model.eval().requires_grad_(False)


def _wrapped(name: str, missing: list[str], unused: list[str]) -> str:
    """Return the error about weights that have a prefix of training tools before their names, or ``""``."""
    for prefix, tool in WRAPPERS.items():
        if {prefix + key for key in missing} <= set(unused):
            return (
                f"{name}: the names of its weights begin with {prefix!r}, as {tool} saves them: save the "
                f"model inside it (model.{prefix}save_pretrained), or remove the prefix from the names"
            )
    return ""


class ShapeMismatch(InputError):
    """Weights of other shapes than the configuration describes.

    Attributes
    ----------
    weights : list of (name, stored shape, expected shape)
    """

    def __init__(self, name: str, weights: list[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> None:
        self.weights = weights
        key, stored, expected = weights[0]
        super().__init__(
            f"{name}: config.json does not describe these weights: {key} is {_times(stored)} in the file and "
            f"{_times(expected)} by config.json ({len(weights)} such)"
        )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def first_bad_weight(model: Any) -> str | None:
    """Name of the first parameter or buffer that is not finite, or None."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return name
    return None
