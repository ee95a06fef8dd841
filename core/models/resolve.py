"""Model folders from specifications: ``embedded``, a folder, or a hub id."""

import re
import shutil
import tempfile
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from inficond.core.errors import InputError
from inficond.core.extensions import EXPORTERS, extensions
from inficond.core.file_access import in_home
from inficond.core.models.cache_directory import cache_folder
from inficond.core.models.foreign_files import advice_for_file
from inficond.core.models.manifest import MANIFEST, Kind
from inficond.core.models.presets import ENCODERS, HUB, OPEN_CLIP, TENSOR_FILES, preset_model

EMBEDDED = "embedded"

_PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co/|hf\.co/|hf-hub:|hf:)(?:models/)?([\w.-]+/[\w.-]+)(?:/.*)?"
)
"""Web pages and prefixes of other tools around a Hugging Face id."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def embedded_folder(kind: Kind) -> Path:
    """Return the model folder of a kind inside the package."""
    return Path(__file__).resolve().parent.parent / "assets" / kind


def locate(spec: str | Path, kind: Kind, download: bool = True) -> Path:
    """Return the model folder of a specification; a hub id is exported once and cached.

    Parameters
    ----------
    spec : str
        ``embedded``, a folder made by `inficond export`, a preset of an encoder such as ``clip-b16``, a
        Hugging Face id such as ``openai/clip-vit-base-patch16``, or an encoder of open_clip
        (``open_clip:ARCH/TAG``, ``hf-hub:ORG/NAME``).
    kind : {"encoder", "teacher"}
    download : bool
        Whether a hub id that is not in the cache may be downloaded: only if the user typed it, never because
        a file names it.

    Raises
    ------
    InputError
        There is no such folder, or the id cannot be exported here.
    """
    if str(spec) == EMBEDDED:
        folder = embedded_folder(kind)
        if not (folder / MANIFEST).is_file():
            raise InputError(f"the embedded {kind} is missing from this installation: install InFiConD again")
        return folder
    try:
        path = in_home(spec)
        there, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError):  # too long, a lone surrogate
        path, there, is_folder = Path(), False, False
    if is_folder:
        if not (path / MANIFEST).is_file():
            hint = (
                f"make one with `inficond export {kind} {path} --out DIR`"
                if _is_checkpoint(path)
                else "name another"
            )
            raise InputError(f"{path} is not a model folder (it has no {MANIFEST}): {hint}")
        return path
    text = str(spec)
    if kind == "encoder" and not there and text.startswith((OPEN_CLIP, HUB)):
        if Path(text).suffix in TENSOR_FILES:  # a file may change, so that a cached copy of it would be wrong
            raise InputError(
                f"{text} names a file of weights: make a model folder with `inficond export encoder {text} "
                "--out DIR` and give DIR"
            )
        return _from_hub(text, kind, download)
    page = None if there else page_of_hub(text)
    if page:
        raise InputError(f"{kind} {text!r} is not a Hugging Face id: give {page}")
    if there:
        raise InputError(f"{path} is a file, not a model folder: {advice_for_file(path, kind)}")
    if kind == "encoder" and text in ENCODERS:
        return _from_hub(preset_model(text), kind, download)
    if not _HUB_ID.fullmatch(text) or text.startswith((".", "/", "~")):
        raise InputError(f"{kind} {text!r} does not exist: {_advice(text, kind)}")
    return _from_hub(text, kind, download)


def page_of_hub(text: str) -> str | None:
    """Return the id in the address of a model's page or behind another tool's prefix, else None."""
    found = _PAGE.fullmatch(text.strip())
    return found[1] if found else None


def _advice(text: str, kind: Kind) -> str:
    near = get_close_matches(text, ENCODERS, n=1) if kind == "encoder" else []
    if near:
        return f"did you mean {near[0]}?"
    if kind == "teacher" and re.fullmatch(r"[a-z][\w.]*\d\w*", text):
        return f"give timm/{text} for a model of timm, or a Hugging Face id like owner/name"
    presets = f"one of {', '.join(ENCODERS)}, " if kind == "encoder" else ""
    return f"give `embedded`, {presets}a model folder, or a Hugging Face id like owner/name"


def _is_checkpoint(path: Path) -> bool:
    return any((path / name).is_file() for name in ("config.json", "open_clip_config.json"))


def _from_hub(model: str, kind: Kind, download: bool) -> Path:
    target = cache_folder("models", kind, re.sub(r"[/:\\]", "--", model))
    if (target / MANIFEST).is_file():
        return target
    if not download:
        raise InputError(
            f"the {kind} {model} is not on this machine: export it with `inficond export {kind} {model} "
            f"--out {target}`"
        )
    export = exporter(kind)
    if export is None:
        raise InputError(
            f"{model} is not a folder; to use it as a Hugging Face id, install the `export` extra: "
            'pip install "inficond[export]"'
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as scratch:
        made = Path(scratch) / "model"
        export(model, made)
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    return target


def exporter(kind: str) -> Callable[..., object] | None:
    """Return an exporter of the `export` extra, or None if the extra is not installed.

    Parameters
    ----------
    kind : str
        Name of an entry point of `EXPORTERS`.
    """
    point = extensions(EXPORTERS).get(kind)
    try:
        return None if point is None else point.load()
    except ImportError:
        return None
