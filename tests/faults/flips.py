"""One changed byte in one file of a project: it is told, or it changes no answer.

`run` changes bytes spread over every file and asks everything that depends on the file. An answer that
differs from the reference, or an error that is no line for a person, is a fault.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import subject

from inficond.core.errors import InputError

DETECTED, HARMLESS, WRONG, CRASH, UNNAMED = "detected", "harmless", "wrong", "crash", "unnamed"


@dataclass(frozen=True)
class Flip:
    """A changed byte and what came of it.

    Parameters
    ----------
    file : str
        Relative to the folder of everything.
    offset, mask : int
        Which byte, and what it was XORed with.
    outcome : str
    said : str
        The error, or which answers differ.
    """

    file: str
    offset: int
    mask: int
    outcome: str
    said: str

    @property
    def kind(self) -> str:
        """What sort of file it is."""
        name = Path(self.file).name
        if name.startswith("history.sqlite"):
            return name
        return Path(self.file).suffix.lstrip(".") or name


def askers(made: subject.Made, scratch: Path) -> Iterator[tuple[Path, Callable[[], dict[str, Any]]]]:
    """Every file that answers depend on, with what asks for them."""
    photo = sorted(made.photos.rglob("*.png"))[0]
    for folder in (made.project, made.encoder, made.teacher):
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            yield file, lambda: subject.ask_project(made.project, photo)
    yield made.weights, lambda: subject.ask_weights(made.weights)
    yield made.onnx, lambda: subject.ask_onnx(made.onnx)

    def unpacked() -> dict[str, Any]:
        shutil.rmtree(scratch, ignore_errors=True)
        return subject.ask_archive(made.archive, scratch)

    if made.archive.exists():
        yield made.archive, unpacked


def run(made: subject.Made, count: int, seed: int = 0) -> list[Flip]:
    """Change `count` bytes, one at a time, every file in its turn; everything is as before afterwards."""
    rng = random.Random(seed)
    scratch = Path(tempfile.mkdtemp(prefix="flips-"))
    keep = Path(tempfile.mkdtemp(prefix="flips-kept-"))
    shutil.rmtree(keep)
    shutil.copytree(made.root, keep, symlinks=True)
    try:
        files = [(file, ask) for file, ask in askers(made, scratch) if file.stat().st_size]
        # A thumbnail is like the next one: a few of them stand for all, so that other kinds are met as often.
        thumbnails = [f for f in files if "thumbnails" in f[0].parts]
        # The history is the file that changes, and SQLite keeps no checksum over it: it is met more often.
        history = [f for f in files if f[0].name in ("history.sqlite", "history.sqlite-wal")]
        files = [f for f in files if f not in thumbnails] + thumbnails[:3] + 9 * history
        reference = {ask: ask() for _, ask in {id(a): (f, a) for f, a in files}.values()}
        _restore(made, keep)
        flips = []
        for i in range(count):
            file, ask = files[i % len(files)]
            size = (keep / file.relative_to(made.root)).stat().st_size
            # A third of them in the first and last bytes, where formats keep what they are.
            offset = rng.randrange(size)
            if i % 3 == 0:
                offset = (
                    rng.randrange(min(size, 64))
                    if rng.random() < 0.5
                    else size - 1 - rng.randrange(min(size, 64))
                )
            flips.append(one(made, keep, file, offset, rng.randrange(1, 256), ask, reference[ask]))
        return flips
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(keep, ignore_errors=True)


def one(
    made: subject.Made,
    keep: Path,
    file: Path,
    offset: int,
    mask: int,
    ask: Callable[[], dict[str, Any]],
    reference: dict[str, Any],
) -> Flip:
    """Change one byte, ask, put everything back."""
    data = bytearray(file.read_bytes())
    data[offset] ^= mask
    file.write_bytes(data)
    name = file.relative_to(made.root).as_posix()
    try:
        subject.forget_checks()
        said = ask()
        wrong = [part for part in reference if said.get(part) != reference[part]]
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
    """Whether an error names the file (or, of SQLite's several, the history), and says what to do."""
    name = "history.sqlite" if file.name.startswith("history.sqlite") else file.name
    return (name in text or file.parent.name in text) and ":" in text


def _restore(made: subject.Made, keep: Path) -> None:
    """Every file as it was: reading a history may fold its log into it."""
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
    """Outcomes by kind of file."""
    kinds: dict[str, Counter[str]] = {}
    for flip in flips:
        kinds.setdefault(flip.kind, Counter())[flip.outcome] += 1
    return {kind: dict(counts) for kind, counts in sorted(kinds.items())}
