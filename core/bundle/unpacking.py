"""Unpacking an archive after checking every byte of it."""

import errno
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from inficond.core.atomic_io import lives
from inficond.core.bundle.contents import CHUNK, MemberEntry, read_contents
from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.progress import Progress, Silent

WRITE_ERRORS = {
    errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EMFILE, errno.ENAMETOOLONG,
    getattr(errno, "EDQUOT", errno.ENOSPC),
}  # fmt: skip
"""Errors of the place that is written to; others mean that the archive is damaged."""


def unpack(archive: Path, out: Path, progress: Progress | None = None) -> list[Path]:
    """Check an archive and write its content into a folder.

    Parameters
    ----------
    archive : Path
        A file made by `pack`.
    out : Path
        Created if missing. Existing files must be the same as in the archive, so that a run that
        was killed half-way can be repeated.
    progress : Progress, optional
        Reports every file.

    Returns
    -------
    list of Path
        The new files and folders directly under `out`.

    Raises
    ------
    InputError
        Not an archive of ours, a newer format, an unsafe name, overlapping members, a byte that differs from
        its checksum, or a file that exists. Nothing is left behind then.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.bundle import pack, unpack
    >>> _ = Path("notes.txt").write_text("kept")
    >>> _ = pack([Path("notes.txt")], Path("notes.inficond"))
    >>> _ = unpack(Path("notes.inficond"), Path("copy"))
    >>> Path("copy", "notes.txt").read_text()
    'kept'
    """
    progress = progress or Silent()
    if archive.exists() and not archive.is_file():
        raise InputError(f"{archive} is not a file: give an archive made by `inficond pack`")
    try:
        z = zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise InputError(f"{archive} does not exist: check the path") from None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{archive} is not a readable archive ({error}): copy it again, or make one with `inficond pack`"
        ) from None
    with z:
        listing = read_contents(z, archive)
        tops = sorted({PurePosixPath(name).parts[0] for name in listing})
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot write {out}: {error.strerror or error}; choose another folder"
            ) from error
        done = [top for top in tops if os.path.lexists(out / top)]
        for top in done:
            if not _is_there(out, top, listing):
                raise InputError(f"{out / top} exists already: choose another folder")
        listing = {name: e for name, e in listing.items() if PurePosixPath(name).parts[0] not in done}
        need, free = sum(entry["bytes"] for entry in listing.values()), shutil.disk_usage(out).free
        if need > free:
            raise InputError(f"{archive} needs {need:,} bytes and {out} has {free:,} free: free some space")
        _delete_leftovers(out)
        staging = None
        try:
            staging = Path(tempfile.mkdtemp(prefix=f".unpack-{os.getpid()}-", dir=out))
            progress.start("unpacking", len(listing))
            for name, entry in listing.items():
                _extract(z, name, entry, staging / name, archive)
                progress.advance()
            for top in tops:
                if top not in done:
                    os.rename(staging / top, out / top)
        except OSError as error:
            raise InputError(f"cannot write {out}: {error.strerror or error}; free some space") from error
        finally:
            if staging is not None:
                shutil.rmtree(staging, ignore_errors=True)
    return [out / top for top in tops]


def _is_there(out: Path, top: str, listing: Mapping[str, MemberEntry]) -> bool:
    """Return whether a file or folder holds exactly what the archive holds under its name."""
    wanted = {name: e for name, e in listing.items() if PurePosixPath(name).parts[0] == top}
    if (out / top).is_symlink():
        return False
    found = [out / top] if (out / top).is_file() else [p for p in (out / top).rglob("*") if not p.is_dir()]
    if any(p.is_symlink() or not p.is_file() for p in found):
        return False
    names = {p.relative_to(out).as_posix(): p for p in found}
    if names.keys() != wanted.keys():
        return False
    for name, path in names.items():
        try:
            with path.open("rb") as file:
                if sha256_of(file) != wanted[name]["sha256"]:
                    return False
        except OSError:
            return False
    return True


def _delete_leftovers(out: Path) -> None:
    """Delete the folders of processes that were killed while they unpacked."""
    for left in out.glob(".unpack-*-*"):
        writer = left.name.split("-")[1]
        if writer.isdigit() and not lives(int(writer)):
            shutil.rmtree(left, ignore_errors=True)


def _extract(z: zipfile.ZipFile, name: str, entry: MemberEntry, target: Path, archive: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    found, left = hashlib.sha256(), entry["bytes"]
    try:
        with z.open(name) as source, target.open("xb") as sink:
            while left >= 0 and (block := source.read(CHUNK)):
                left -= len(block)
                found.update(block)
                sink.write(block)
    # Damage reaches zipfile as all of these: a name that is not UTF-8, an unknown flag, a password.
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in WRITE_ERRORS:
            raise
        raise InputError(f"{archive}: {name!r} cannot be read ({error}): copy it again") from None
    if left != 0 or found.hexdigest() != entry["sha256"]:
        raise InputError(f"{archive}: {name!r} differs from its checksum: copy it again")
