"""Changes of single bytes in the files of a project: each is detected, or changes no result.

`run` changes bytes of every file and reads everything that depends on the file. A result that differs from
the reference, or an error that does not name the file, is a fault.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import sample

from inficond.core.errors import InputError

DETECTED, HARMLESS, WRONG, CRASH, UNNAMED = "detected", "harmless", "wrong", "crash", "unnamed"


@dataclass(frozen=True)
class Flip:
    """A changed byte and its outcome.

    Parameters
    ----------
    file : str
        Path relative to the folder of the sample.
    offset, mask : int
        Position of the byte, and the number that it was XORed with.
    outcome : str
        ``detected``, ``harmless``, ``wrong`` (other results without an error), ``crash`` (an unexpected
        exception) or ``unnamed`` (an error that does not name the file).
    detail : str
        The error, or the names of the results that differ.
    """

    file: str
    offset: int
    mask: int
    outcome: str
    detail: str

    @property
    def kind(self) -> str:
        """Kind of the file: its extension, or its name."""
        name = Path(self.file).name
        if name.startswith("history.sqlite"):
            return name
        return Path(self.file).suffix.lstrip(".") or name


def readers(made: sample.Sample, scratch: Path) -> Iterator[tuple[Path, Callable[[], dict[str, Any]]]]:
    """Yield each file, and a function that reads everything that depends on it."""
    photo = sorted(made.photos.rglob("*.png"))[0]
    for folder in (made.project, made.encoder, made.teacher):
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            yield file, lambda: sample.project_hashes(made.project, photo)
    yield made.weights, lambda: sample.weights_hashes(made.weights)
    yield made.onnx, lambda: sample.onnx_hashes(made.onnx)

    def unpacked() -> dict[str, Any]:
        shutil.rmtree(scratch, ignore_errors=True)
        return sample.archive_hashes(made.archive, scratch)

    if made.archive.exists():
        yield made.archive, unpacked


def run(made: sample.Sample, count: int, seed: int = 0) -> list[Flip]:
    """Change `count` bytes, one at a time, each file in turn; restore the files after each change."""
    rng = random.Random(seed)
    scratch = Path(tempfile.mkdtemp(prefix="flips-"))
    keep = Path(tempfile.mkdtemp(prefix="flips-kept-"))
    shutil.rmtree(keep)
    shutil.copytree(made.root, keep, symlinks=True)
    try:
        files = [(file, read) for file, read in readers(made, scratch) if file.stat().st_size]
        # Thumbnails are alike, so a few are enough.
        thumbnails = [f for f in files if "thumbnails" in f[0].parts]
        # SQLite has no checksum over the history's file, so it is changed more often.
        history = [f for f in files if f[0].name in ("history.sqlite", "history.sqlite-wal")]
        files = [f for f in files if f not in thumbnails] + thumbnails[:3] + 9 * history
        reference = {read: read() for _, read in {id(r): (f, r) for f, r in files}.values()}
        _restore(made, keep)
        flips = []
        for i in range(count):
            file, read = files[i % len(files)]
            size = (keep / file.relative_to(made.root)).stat().st_size
            # A third of them are in the first and last bytes, where formats have headers and trailers.
            offset = rng.randrange(size)
            if i % 3 == 0:
                offset = (
                    rng.randrange(min(size, 64))
                    if rng.random() < 0.5
                    else size - 1 - rng.randrange(min(size, 64))
                )
            flips.append(one(made, keep, file, offset, rng.randrange(1, 256), read, reference[read]))
        return flips
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(keep, ignore_errors=True)


def one(
    made: sample.Sample,
    keep: Path,
    file: Path,
    offset: int,
    mask: int,
    read: Callable[[], dict[str, Any]],
    reference: dict[str, Any],
) -> Flip:
    """Change one byte, read, and restore the files."""
    data = bytearray(file.read_bytes())
    data[offset] ^= mask
    file.write_bytes(data)
    name = file.relative_to(made.root).as_posix()
    try:
        found = read()
        wrong = [part for part in reference if found.get(part) != reference[part]]
        outcome, text = (WRONG, ", ".join(wrong)) if wrong else (HARMLESS, "")
    except InputError as error:
        text = str(error)
        outcome = DETECTED if _names(text, file) else UNNAMED
    except Exception as error:
        outcome, text = CRASH, f"{type(error).__name__}: {error}"
    finally:
        _restore(made, keep)
    return Flip(name, offset, mask, outcome, text)


def _names(text: str, file: Path) -> bool:
    """Return whether an error names the file (for SQLite's files, the history) and a remedy."""
    name = "history.sqlite" if file.name.startswith("history.sqlite") else file.name
    return (name in text or file.parent.name in text) and ":" in text


def _restore(made: sample.Sample, keep: Path) -> None:
    """Restore every file; reading a history may also change it, by moving its log into the file."""
    kept = {p.relative_to(keep): p for p in keep.rglob("*") if p.is_file() and "photos" not in p.parts}
    for path in [p for p in made.root.rglob("*") if p.is_file() and "photos" not in p.parts]:
        if path.relative_to(made.root) not in kept:
            path.unlink(missing_ok=True)
    for name, original in kept.items():
        path = made.root / name
        if not path.exists() or path.read_bytes() != original.read_bytes():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(original, path)


def table(flips: list[Flip]) -> dict[str, dict[str, int]]:
    """Count the outcomes by kind of file."""
    kinds: dict[str, Counter[str]] = {}
    for flip in flips:
        kinds.setdefault(flip.kind, Counter())[flip.outcome] += 1
    return {kind: dict(counts) for kind, counts in sorted(kinds.items())}
