"""Writing of model folders: complete or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError, system_reason
from inficond.core.models.manifest import checksum_of
from inficond.core.models.trust import trust

FORMAT = 1


@contextmanager
def staged(out: Path, overwrite: bool = False, trusted: bool = True) -> Iterator[Path]:
    """Yield a temporary folder that becomes `out` if the block succeeds, and is deleted if it fails.

    Parameters
    ----------
    out : Path
        The folder to write.
    overwrite : bool
        Whether an existing model folder may be replaced.
    trusted : bool
        Whether this program made the graphs in the folder, so that they need no limited process.

    Raises
    ------
    InputError
        `out` exists and may not be replaced, or cannot be written.
    """
    check_target(out, overwrite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"cannot write {out}: {system_reason(error)}") from None
    try:
        yield stage
        stage.chmod(0o755)
        for graph in stage.glob("*.onnx") if trusted else ():
            with suppress(InputError):  # without a writable cache it runs in a limited process
                trust(sha256_of(graph))
        if out.exists():
            if out.is_dir() and any(out.iterdir()):
                old = stage.with_name(stage.name + ".old")
                out.rename(old)
                stage.rename(out)
                shutil.rmtree(old, ignore_errors=True)
            else:
                out.rmdir()
                stage.rename(out)
        else:
            stage.rename(out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {system_reason(error)}") from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def check_target(out: Path, overwrite: bool) -> None:
    """Check that a folder may be written: nothing is there, or a model folder that may be replaced.

    Raises
    ------
    InputError
        Something else is there; the message names it.
    """
    if out.is_file():
        raise InputError(f"{out} is a file: give a new folder")
    if not out.exists() or not any(out.iterdir()):
        return
    ours = (out / "manifest.json").is_file() or all((d / "manifest.json").is_file() for d in out.iterdir())
    if not ours:
        raise InputError(f"{out} holds other files: give a new folder")
    if not overwrite:
        raise InputError(f"{out} holds a model already: give a new folder, or replace it with --overwrite")


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write `manifest.json` with the size and SHA-256 of each other file of the folder."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != "manifest.json":
            files[path.name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    whole = {"format": FORMAT, **manifest, "files": files}
    whole["checksum"] = checksum_of(json.loads(json.dumps(whole)))  # of what a reader parses
    text = json.dumps(whole, ensure_ascii=False, indent=1)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
