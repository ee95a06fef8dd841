"""Where a model comes from: a local folder, or a Hugging Face repository fetched into one."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError

PATTERNS = ["*.json", "*.txt", "*.model", "*.safetensors", "README.md"]
CONVERTER = "SFconvertbot"
_HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A transformers model folder on this machine, and where it came from.

    Attributes
    ----------
    folder : Path
        Holds `config.json` and safetensors.
    name : str
        What to call it: the repository id, or the folder's name.
    revision : str or None
        Commit of the repository; None for a local folder.
    licence : str or None
        From the front matter of its README, where that says one.
    """

    folder: Path
    name: str
    revision: str | None
    licence: str | None

    @property
    def config(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))

    def describe(self) -> dict[str, Any]:
        """What a manifest says of where its model comes from."""
        origin = self.name if self.revision is None else f"https://huggingface.co/{self.name}@{self.revision}"
        return {
            "source": origin,
            "revision": self.revision,
            "architectures": self.config.get("architectures"),
        }


def find_source(spec: str, revision: str | None = None) -> Source:
    """The model that `spec` names.

    Parameters
    ----------
    spec : str
        A local folder, or a Hugging Face id such as ``openai/clip-vit-base-patch16``.
    revision : str, optional
        Branch, tag or commit of the repository.

    Raises
    ------
    InputError
        If there is no such model, no network to fetch it with, or only pickled weights.
    """
    local = Path(spec).expanduser()
    if local.is_dir():
        folder, name, commit = local, local.resolve().name, None
    elif local.exists():
        raise InputError(f"{spec} is a file; give the folder of a transformers model, or a Hugging Face id")
    elif not _HUB_ID.match(spec) or spec.startswith("."):
        raise InputError(f"there is no folder {spec}, and it is no Hugging Face id (owner/name)")
    else:
        folder, name = _fetch(spec, revision), spec
        commit = folder.name
    _check(folder, spec)
    return Source(folder=folder, name=name, revision=commit, licence=_licence(folder))


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
            f"{spec} asks for consent: accept its terms on its page, then log in with `hf auth login`"
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
        raise InputError(f"there is no folder {spec}, and it is no Hugging Face id (owner/name)") from None
    except (LocalEntryNotFoundError, httpx.TransportError, ConnectionError, TimeoutError):
        raise InputError(
            f"cannot fetch {spec}: Hugging Face cannot be reached and the model is not in the local cache;"
            " give the folder of a downloaded copy"
        ) from None
    except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise InputError(f"cannot fetch {spec}: {str(error).splitlines()[0]}") from None


def _converted_revision(spec: str) -> str | None:
    """Where Hugging Face's own conversion service has offered a pickled model as safetensors, or None.

    Only its account counts: anybody may open a pull request under the same title.
    """
    from huggingface_hub import HfApi

    offers = HfApi().get_repo_discussions(spec, author=CONVERTER, discussion_type="pull_request")
    for offer in offers:
        if offer.author == CONVERTER and "safetensors" in offer.title and offer.status != "closed":
            return f"refs/pr/{offer.num}"
    return None


def _check(folder: Path, spec: str) -> None:
    config = folder / "config.json"
    if not config.is_file():
        raise InputError(f"{spec} has no config.json: it is no transformers model folder")
    try:
        parsed = json.loads(config.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{config} cannot be read as JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InputError(f"{config} is no JSON object")
    if parsed.get("auto_map"):
        raise InputError(
            f"{spec} needs its own Python code to load, which is never run; only built-in architectures are"
        )
    if any(folder.glob("*.safetensors")):
        return
    pickled = [p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".ckpt"}]
    if pickled:
        raise InputError(
            f"{spec} has its weights only as {pickled[0]}, a pickle, which is never loaded;"
            " name a --revision with model.safetensors, or save it as safetensors first"
        )
    raise InputError(
        f"{spec} has no *.safetensors: pickled weights are never loaded;"
        " name a --revision that has them, or save it as safetensors first"
    )


def _licence(folder: Path) -> str | None:
    readme = folder / "README.md"
    if not readme.is_file():
        return None
    text = readme.read_text(encoding="utf-8", errors="replace")
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^licen[sc]e:\s*['\"]?([\w.+-]+)", front.group(1), re.MULTILINE) if front else None
    return found.group(1) if found else None


def load_model(source: Source, factory: Any, **kwargs: Any) -> Any:
    """A transformers model in evaluation mode, float32, from safetensors only and without remote code.

    Parameters
    ----------
    source : Source
        The folder.
    factory : type
        `AutoModel`, `AutoModelForImageClassification`, …
    **kwargs
        Passed to `from_pretrained`.

    Raises
    ------
    InputError
        If the folder's weights do not make that model.
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
            **kwargs,
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{source.name} cannot be loaded as {factory.__name__}: {first}") from None
    missing = sorted(info.get("missing_keys") or [])
    if missing:
        raise InputError(
            f"{source.name} lacks {len(missing)} of the weights of a {type(model).__name__}, "
            f"{missing[0]} among them"
        )
    bad = first_bad_weight(model)
    if bad:
        raise InputError(
            f"{source.name} has NaN or infinite values in {bad}; the download or the training went wrong"
        )
    return model.eval().requires_grad_(False)


def first_bad_weight(model: Any) -> str | None:
    """Name of the first parameter or buffer that is not finite, or None."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return name
    return None
