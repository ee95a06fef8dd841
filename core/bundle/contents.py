"""List of an archive's members, and the checks that make it safe to use."""

import stat
import unicodedata
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from inficond.core.errors import JOINERS, InputError
from inficond.core.strict_json import parse_json

FORMAT = 1
MANIFEST = "archive.json"
MANIFEST_BYTES = 64 << 20
"""Size of the list of members, at most."""
DEEPEST = 32
"""Folders within one another."""
LONGEST_PART, LONGEST_NAME = 255, 1024
"""Bytes of one part of a name, and of a whole name."""
CHUNK = 1 << 20
HEADER_BYTES = 30
"""A zip member's header without its name."""
RESERVED = {"con", "prn", "aux", "nul", *(f"{device}{i}" for device in ("com", "lpt") for i in range(1, 10))}
"""Names that Windows gives to devices."""


class MemberEntry(TypedDict):
    """SHA-256 and size of a member."""

    sha256: str
    bytes: int


def read_contents(z: zipfile.ZipFile, archive: Path) -> dict[str, MemberEntry]:
    """Return the members of an archive, after every name and number has been checked.

    Raises
    ------
    InputError
        Not an archive of ours, another format, or something that `pack` does not write: a name that leaves
        the folder or hides in it, a link, compressed, repeated or overlapping members.
    """
    entries = _listed(z, archive)
    infos = [info for info in z.infolist() if info.filename != MANIFEST]
    if sorted(info.filename for info in infos) != sorted(entries):
        raise InputError(f"{archive}: its members differ from its {MANIFEST}: copy it again")
    _check_names(entries, archive)
    for info in infos:
        size = entries[info.filename]["bytes"]
        if info.compress_type != zipfile.ZIP_STORED or not info.compress_size == info.file_size == size:
            raise InputError(f"{archive}: {info.filename!r} does not have the size it claims: copy it again")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
            raise InputError(f"{archive}: {info.filename!r} is not a plain file")
    _check_places(z, archive)
    return entries


def _listed(z: zipfile.ZipFile, archive: Path) -> dict[str, MemberEntry]:
    """Read the list of members."""
    try:
        info = z.getinfo(MANIFEST)
        if info.file_size > MANIFEST_BYTES:
            raise InputError(f"{archive}: its {MANIFEST} is too large")
        with z.open(info) as file:
            manifest = parse_json(file.read(MANIFEST_BYTES))
        version, listing = manifest["format"], manifest["members"]
        entries = {
            str(name): MemberEntry(sha256=str(entry["sha256"]), bytes=int(entry["bytes"]))
            for name, entry in listing.items()
        }
    except (InputError, MemoryError):
        raise
    except Exception:  # damage reaches zipfile and JSON as almost every exception
        raise InputError(
            f"{archive} has no readable {MANIFEST}: it was not made by `inficond pack`"
        ) from None
    if version != FORMAT:
        raise InputError(
            f"{archive} has format {version!r}, and this version reads {FORMAT}: update inficond"
        )
    return entries


def _check_names(entries: Mapping[str, MemberEntry], archive: Path) -> None:
    seen: dict[str, str] = {}
    for name in entries:
        reason = unsafe(name)
        if reason:
            raise InputError(f"{archive}: the name {name!r} {reason}: this archive cannot be trusted")
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            raise InputError(f"{archive}: {name!r} occurs twice: this archive cannot be trusted")
        seen[folded] = name
    for folded, name in seen.items():
        parts = folded.split("/")
        for i in range(1, len(parts)):
            if "/".join(parts[:i]) in seen:
                raise InputError(
                    f"{archive}: {name!r} lies in a file, not in a folder: this archive cannot be trusted"
                )


def unsafe(name: str) -> str | None:
    """Return why a member's name is not accepted, or None."""
    parts = name.split("/")
    if not name or any(c in name for c in "\\:\0") or any(part in ("", ".", "..") for part in parts):
        return "would leave its folder"
    if not all(c.isprintable() or c in JOINERS for c in name):
        return "contains control characters"
    if parts[0].startswith("."):
        return "is hidden, and may change how programs behave"
    if any(part.split(".")[0].casefold() in RESERVED or part != part.rstrip(" .") for part in parts):
        return "would leave its folder on Windows"
    if len(parts) > DEEPEST:
        return f"is more than {DEEPEST} folders deep"
    if len(name.encode()) > LONGEST_NAME or any(len(part.encode()) > LONGEST_PART for part in parts):
        return "is too long"
    return None


def _check_places(z: zipfile.ZipFile, archive: Path) -> None:
    """Check that members do not overlap: a small archive could otherwise hold one block a thousand times."""
    end = 0
    for info in sorted(z.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise InputError(
                f"{archive}: {info.filename!r} overlaps another member: this archive cannot be trusted"
            )
        end = info.header_offset + HEADER_BYTES + info.compress_size
    if end > z.start_dir:
        raise InputError(f"{archive} is shorter than its members: copy it again")
