"""One file that carries projects, model folders and students to a machine without a network.

An archive is a zip without compression (images and weights do not shrink) whose first member,
`archive.json`, says the format's version and for every other member its SHA-256 and size. Nothing is
written to its final place before every byte has been checked.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from inficond.core.atomic_io import lives, temporary_name
from inficond.core.errors import InputError
from inficond.core.progress import Progress, Silent

FORMAT = 1
MANIFEST = "archive.json"
MAX_MANIFEST_BYTES = 64 << 20
_CHUNK = 1 << 20
_DISK = {
    errno.ENOSPC,
    getattr(errno, "EDQUOT", errno.ENOSPC),
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EFBIG,
}
"""What a place that is written to says; damage in the archive says something else."""
_RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"com{i}" for i in range(1, 10)),
    *(f"lpt{i}" for i in range(1, 10)),
}


def pack(sources: Sequence[Path], archive: Path, progress: Progress | None = None) -> dict[str, int]:
    """Write `sources` (files or folders) into the new file `archive`.

    Parameters
    ----------
    sources : sequence of Path
        Each lands under its own last name; two of the same name are refused. Symbolic links are not followed.
    archive : Path
        The file to write; it appears only once it is whole. One that holds just these bytes already is left
        as it is: a run that was killed at its end can be repeated.
    progress : Progress, optional
        Told about every file.

    Returns
    -------
    dict
        ``files`` and ``bytes`` packed.

    Raises
    ------
    InputError
        A source is missing or unreadable, names collide, or `archive` exists.
    """
    progress = progress or Silent()
    members: dict[str, Path] = {}
    for source in sources:
        source = Path(source)
        if not source.exists():
            raise InputError(f"{source} does not exist: nothing was packed")
        name = source.resolve().name
        if any(PurePosixPath(m).parts[0].casefold() == name.casefold() for m in members):
            raise InputError(f"two things named {name!r} cannot share an archive: rename one of them")
        members.update(_members(source, name, excluded=archive))
    if not members:
        raise InputError(f"nothing to pack in {', '.join(map(str, sources))}: the folders hold no files")
    progress.start("checking", len(members))
    listing: dict[str, dict[str, object]] = {}
    for name, path in sorted(members.items()):
        listing[name] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
        progress.advance()
    if archive.exists():
        if _holds(archive, listing):
            return {"files": len(listing), "bytes": archive.stat().st_size}
        raise InputError(f"{archive} exists already: choose another name or remove it first")
    progress.start("packing", len(members))
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(archive)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as z:
            # No time of its own: the same files give the same archive.
            first = zipfile.ZipInfo(MANIFEST)
            first.external_attr = 0o644 << 16
            z.writestr(
                first, json.dumps({"format": FORMAT, "members": listing}, indent=1, ensure_ascii=False)
            )
            for name, path in sorted(members.items()):
                z.write(path, name)
                progress.advance()
        os.replace(temporary, archive)
    except OSError as error:
        temporary_name(archive).unlink(missing_ok=True)
        raise InputError(f"cannot write {archive}: {error.strerror or error}; nothing was packed") from error
    except BaseException:
        temporary_name(archive).unlink(missing_ok=True)
        raise
    return {"files": len(listing), "bytes": archive.stat().st_size}


def unpack(archive: Path, out: Path, progress: Progress | None = None) -> list[Path]:
    """Check `archive` and lay its content under the folder `out`.

    Parameters
    ----------
    archive : Path
        A file made by `pack`.
    out : Path
        Made where missing; none of the names in the archive may exist in it, unless just as they are in the
        archive: a run that was killed half-way can be repeated.
    progress : Progress, optional
        Told about every file.

    Returns
    -------
    list of Path
        What now lies directly under `out`.

    Raises
    ------
    InputError
        Not an archive of ours, a newer format, a name that would leave `out`, a byte that differs from its
        hash, or something in the way. Nothing is left behind then.
    """
    progress = progress or Silent()
    try:
        z = zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise InputError(f"{archive} does not exist") from None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{archive} is no readable archive ({error}): copy it again") from None
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        z.close()
        raise InputError(f"cannot write {out}: {error.strerror or error}; choose another folder") from error
    with z:
        listing = _read_manifest(z, archive)
        tops = sorted({PurePosixPath(name).parts[0] for name in listing})
        done = [top for top in tops if os.path.lexists(out / top)]
        for top in done:
            if not _laid_out(out, top, listing):
                raise InputError(f"{out / top} exists already: choose another folder")
        listing = {name: e for name, e in listing.items() if PurePosixPath(name).parts[0] not in done}
        free = shutil.disk_usage(out).free
        need = sum(entry["bytes"] for entry in listing.values())
        if need > free:
            raise InputError(f"{archive} needs {need:,} bytes and {out} has {free:,} free: make room first")
        _clear(out)
        staging = None
        try:
            staging = Path(tempfile.mkdtemp(prefix=f".unpack-{os.getpid()}-", dir=out))
            progress.start("unpacking", len(listing))
            for name, entry in listing.items():
                _extract(z, name, entry["sha256"], entry["bytes"], staging / name, archive)
                progress.advance()
            for top in tops:
                if top not in done:
                    os.rename(staging / top, out / top)
        except OSError as error:
            raise InputError(f"cannot write {out}: {error.strerror or error}; make room first") from error
        finally:
            if staging is not None:
                shutil.rmtree(staging, ignore_errors=True)
    return [out / top for top in tops]


def _members(source: Path, name: str, excluded: Path) -> Iterator[tuple[str, Path]]:
    if source.is_file():
        yield name, source
        return
    for folder, folders, files in os.walk(source, followlinks=False):
        folders.sort()
        for file in sorted(files):
            path = Path(folder) / file
            if path.is_symlink() or not path.is_file() or path.resolve() == excluded.resolve():
                continue
            # SQLite's shared memory belongs to running processes; its log is folded in when it is opened.
            if file.endswith("-shm"):
                continue
            yield str(PurePosixPath(name, *path.relative_to(source).parts)), path


def _holds(archive: Path, listing: dict[str, dict[str, object]]) -> bool:
    """Whether an archive is whole and holds just what is listed."""
    try:
        with zipfile.ZipFile(archive) as z:
            if _read_manifest(z, archive) != listing:
                return False
            for name, entry in listing.items():
                with z.open(name) as source:
                    if _digest(source) != entry["sha256"]:
                        return False
    except (InputError, zipfile.BadZipFile, OSError, ValueError, RuntimeError):
        return False
    return True


def _laid_out(out: Path, top: str, listing: dict[str, dict]) -> bool:
    """Whether what lies under a name is, to the byte and without anything else, what the archive holds."""
    wanted = {name: e for name, e in listing.items() if PurePosixPath(name).parts[0] == top}
    if (out / top).is_symlink():
        return False
    found = [out / top] if (out / top).is_file() else [p for p in (out / top).rglob("*") if not p.is_dir()]
    if any(p.is_symlink() or not p.is_file() for p in found):
        return False
    names = {p.relative_to(out).as_posix(): p for p in found}
    return names.keys() == wanted.keys() and all(_sha256(names[n]) == e["sha256"] for n, e in wanted.items())


def _clear(out: Path) -> None:
    """Remove what killed runs left unfinished in a folder."""
    for left in out.glob(".unpack-*-*"):
        writer = left.name.split("-")[1]
        if writer.isdigit() and not lives(int(writer)):
            shutil.rmtree(left, ignore_errors=True)


def _digest(source: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := source.read(_CHUNK):
        digest.update(block)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as f:
            return _digest(f)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): nothing was packed") from None


def _read_manifest(z: zipfile.ZipFile, archive: Path) -> dict[str, dict]:
    """The listing, once every name and number in it can be trusted to be well formed."""
    try:
        info = z.getinfo(MANIFEST)
        if info.file_size > MAX_MANIFEST_BYTES:
            raise InputError(f"{archive}: its {MANIFEST} is too large to be ours")
        with z.open(info) as f:
            manifest = json.loads(f.read(MAX_MANIFEST_BYTES))
        version, listing = manifest["format"], manifest["members"]
        entries = {
            str(name): {"sha256": str(entry["sha256"]), "bytes": int(entry["bytes"])}
            for name, entry in listing.items()
        }
    except InputError:
        raise
    except Exception:
        raise InputError(
            f"{archive} has no readable {MANIFEST}: it was not made by `inficond pack`"
        ) from None
    if version != FORMAT:
        raise InputError(f"{archive} has format {version!r} and this version reads {FORMAT}: update inficond")
    infos = [i for i in z.infolist() if i.filename != MANIFEST]
    names = [i.filename for i in infos]
    if sorted(names) != sorted(entries):
        raise InputError(f"{archive}: its members differ from its {MANIFEST}: copy it again")
    folded: set[str] = set()
    for info in infos:
        name, entry = info.filename, entries[info.filename]
        _check_name(name, archive)
        if name.casefold() in folded:
            raise InputError(f"{archive}: {name!r} is there twice")
        folded.add(name.casefold())
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != entry["bytes"] or entry["bytes"] < 0:
            raise InputError(f"{archive}: {name!r} does not have the size it claims: copy it again")
        mode = info.external_attr >> 16
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode) != 0:
            raise InputError(f"{archive}: {name!r} is no plain file")
    return entries


def _check_name(name: str, archive: Path) -> None:
    parts = name.split("/")
    bad = (
        not name
        or name.startswith("/")
        or "\\" in name
        or "\x00" in name
        or ":" in name
        or any(p in ("", ".", "..") for p in parts)
        or any(p.split(".")[0].casefold() in _RESERVED or p != p.rstrip(" .") for p in parts)
    )
    if bad:
        raise InputError(
            f"{archive}: the name {name!r} would leave its folder: this archive cannot be trusted"
        )


def _extract(z: zipfile.ZipFile, name: str, sha256: str, size: int, target: Path, archive: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), size
    try:
        with z.open(name) as source, target.open("xb") as sink:
            while block := source.read(_CHUNK):
                left -= len(block)
                if left < 0:
                    break
                digest.update(block)
                sink.write(block)
    # Damage reaches zipfile as all of these: a name that is no UTF-8, an unknown flag, a password.
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        raise InputError(f"{archive}: {name!r} cannot be read ({error}): copy it again") from None
    if left != 0 or digest.hexdigest() != sha256:
        raise InputError(f"{archive}: {name!r} differs from its hash: copy it again")
