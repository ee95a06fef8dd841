"""Packing folders and files into an archive."""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from inficond.core.atomic_io import replacing
from inficond.core.bundle.contents import CHUNK, FORMAT, MANIFEST, MemberEntry, read_contents, unsafe
from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.history.store import History
from inficond.core.progress import Progress, Silent
from inficond.core.project.files import HISTORY, PROJECT

NEW_YEAR_1980 = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every member: the same files give the same archive."""


def pack(sources: Sequence[Path], archive: Path, progress: Progress | None = None) -> dict[str, int]:
    """Write files and folders into a new archive.

    Of a project's history, a snapshot of its own branch is packed; visits
    and their tokens are left out, as are hidden files.

    Parameters
    ----------
    sources : sequence of Path
        Each gets its own last name; two of the same name are refused. Symbolic links are not followed.
    archive : Path
        The file to write; it appears once it is complete. One that holds these bytes already is left as it
        is, so that a run that was killed at its end can be repeated.
    progress : Progress, optional
        Reports every file.

    Returns
    -------
    dict
        ``files`` and ``bytes`` packed.

    Raises
    ------
    InputError
        A source is missing, unreadable or hidden, names collide, or `archive` exists.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.bundle import pack, unpack
    >>> Path("results").mkdir()
    >>> _ = Path("results", "notes.txt").write_text("kept")
    >>> pack([Path("results")], Path("results.inficond"))["files"]
    1
    >>> [str(path) for path in unpack(Path("results.inficond"), Path("copy"))]
    ['copy/results']
    """
    progress = progress or Silent()
    with tempfile.TemporaryDirectory(prefix="inficond-pack-") as scratch:
        members = _members(sources, archive, Path(scratch))
        if archive.exists():
            if not _holds(archive, members, progress):
                raise InputError(f"{archive} exists already: choose another name or delete it first")
        else:
            _write(members, archive, progress)
    return {"files": len(members), "bytes": archive.stat().st_size}


def _members(sources: Sequence[Path], archive: Path, scratch: Path) -> dict[str, Path]:
    """Return the file of each member, in order of their names."""
    members: dict[str, Path] = {}
    for source in map(Path, sources):
        if not source.exists():
            raise InputError(f"{source} does not exist: nothing was packed")
        name = source.resolve().name
        if any(PurePosixPath(m).parts[0].casefold() == name.casefold() for m in members):
            raise InputError(f"two sources are named {name!r}: rename one of them")
        members.update(_files(source, name, archive, scratch))
    if not members:
        raise InputError(f"nothing to pack in {', '.join(map(str, sources))}: the folders hold no files")
    for name in members:
        if reason := unsafe(name):
            raise InputError(f"cannot pack {name!r}: the name {reason}; rename it")
    return dict(sorted(members.items()))


def _files(source: Path, name: str, archive: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each member of a source."""
    if source.is_file():
        yield name, source
        return
    for folder, folders, files in os.walk(source, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        is_project = PROJECT in files
        for file in sorted(files):
            path = Path(folder) / file
            if file.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            if path.resolve() == archive.resolve():
                continue
            if is_project and file.startswith(HISTORY) and (Path(folder) / HISTORY).stat().st_size:
                if file != HISTORY:  # SQLite's log and the number of the last write belong to this machine
                    continue
                snapshot = scratch / str(len(list(scratch.iterdir())))
                History(path, None).snapshot(snapshot)
                path = snapshot
            yield str(PurePosixPath(name, *(Path(folder) / file).relative_to(source).parts)), path


def _write(members: dict[str, Path], archive: Path, progress: Progress) -> None:
    """Write an archive; sizes and checksums are computed while the bytes are written."""
    progress.start("packing", len(members))
    with replacing(archive) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as z:
        listing: dict[str, MemberEntry] = {}
        for name, path in members.items():
            listing[name] = _add(z, name, path)
            progress.advance()
        text = json.dumps({"format": FORMAT, "members": listing}, indent=1, ensure_ascii=False)
        z.writestr(_info(MANIFEST, 0), text)


def _add(z: zipfile.ZipFile, name: str, path: Path) -> MemberEntry:
    found, size = hashlib.sha256(), 0
    try:
        source = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from None
    with source, z.open(_info(name, path.stat().st_size), "w") as sink:
        while True:
            try:
                block = source.read(CHUNK)
            except OSError as error:
                raise _unreadable(path, error) from None
            if not block:
                break
            found.update(block)
            size += len(block)
            sink.write(block)
    return MemberEntry(sha256=found.hexdigest(), bytes=size)


def _info(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, NEW_YEAR_1980)
    info.external_attr = 0o644 << 16
    info.file_size = size  # decides whether the member gets 64-bit sizes
    return info


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot read {path} ({error.strerror or error}): nothing was packed")


def _holds(archive: Path, members: dict[str, Path], progress: Progress) -> bool:
    """Return whether an archive is complete and holds these files and no others."""
    progress.start("checking", len(members))
    try:
        with zipfile.ZipFile(archive) as z:
            listing = read_contents(z, archive)
            if listing.keys() != members.keys():
                return False
            for name, path in members.items():
                with z.open(name) as packed, path.open("rb") as source:
                    if not sha256_of(packed) == listing[name]["sha256"] == sha256_of(source):
                        return False
                progress.advance()
    except (InputError, zipfile.BadZipFile, OSError, ValueError, RuntimeError):
        return False
    return True
