"""Fuzzing harness: runs a parser on one input, under observation, and counts.

A parser must return a valid result or refuse the input with one line that names it. Everything else is a
bug: another exception, a hang, more memory than `MEMORY`, a write outside the given folder, a network access.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.fuzz.inputs import Long, Pairs, Raw

from inficond.core.errors import JOINERS, InputError
from inficond.core.images import UnreadableImage

MEMORY = 2 << 30
"""Bytes of additional address space that an input may use, where the system can limit it."""
PATIENCE = 30.0
"""Seconds of processor time after which an input counts as a hang."""
LONGEST_LINE = 2000
"""Characters of a refusal, at most."""
MOST_TURNS = 12
"""Restarts of Hypothesis, which repeats inputs, until enough different ones were tried."""
CI_CASES, NIGHTLY_CASES = 1_000, 100_000
"""Inputs of all parsers together."""
ACCEPTED, REFUSED = "accepted", "refused"
CASES = Path(__file__).with_name("cases")


class Bug(AssertionError):
    """Forbidden behaviour of a parser."""


class _Hang(BaseException):
    """Hang; not an `Exception`, which decoders may catch."""


@dataclass(frozen=True)
class Parser:
    """A function that reads untrusted input.

    Parameters
    ----------
    name : str
    inputs : SearchStrategy
        Inputs, most of them nearly valid.
    parse : callable
        ``parse(given, place)`` with an empty folder; returns a result or raises `InputError`.
    holds : callable
        ``holds(thing, given, place)`` asserts the properties of a result.
    names : tuple of str
        Every refusal contains one of them.
    also : tuple of Path
        Further folders that the parser may write to.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    parse: Callable[[Any, Path], Any]
    holds: Callable[[Any, Any, Path], None]
    names: tuple[str, ...]
    also: tuple[Path, ...] = ()


@dataclass
class Tally:
    """Counts of a run."""

    name: str
    cases: int = 0
    seed: int = 0
    accepted: int = 0
    steps: int = 0
    seconds: float = 0.0
    bugs: list[str] = field(default_factory=list)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Measure the time of a block and record the tally, also if it fails."""
        began = time.monotonic()
        try:
            yield
        except BaseException as error:
            self.bugs.append(f"{type(error).__name__}: {' '.join(str(error).split())[:600]}")
            raise
        finally:
            self.seconds += time.monotonic() - began
            TALLIES.append(self)


TALLIES: list[Tally] = []
"""Tallies of this process, which `conftest` prints at the end."""


def judge(parser: Parser, given: Any, place: Path) -> str:
    """Run a parser on one input.

    Parameters
    ----------
    parser : Parser
    given : object
        The input.
    place : Path
        An empty folder, to which the parser may write.

    Returns
    -------
    str
        `ACCEPTED` or `REFUSED`.

    Raises
    ------
    Bug
        Forbidden behaviour.
    """
    with watched(place, *parser.also):
        try:
            thing = parser.parse(given, place)
        except (InputError, UnreadableImage) as error:
            check_line(str(error), parser.names)
            return REFUSED
        parser.holds(thing, given, place)
        return ACCEPTED


def check_line(line: str, names: tuple[str, ...]) -> None:
    """Check that a refusal is one printable line."""
    shown = ascii(line[:300])
    if not line.strip() or not line.translate(dict.fromkeys(map(ord, JOINERS))).isprintable():
        raise Bug(f"the refusal is not a printable line: {shown}")
    if len(line) > LONGEST_LINE:
        raise Bug(f"the refusal has {len(line):,} characters: {shown}")
    if "not enough memory" in line:
        raise Bug(f"the input needs more than {MEMORY >> 20} MiB: {shown}")
    if not any(name in line for name in names):
        raise Bug(f"the refusal names none of {names}: {shown}")


def fuzz(parser: Parser, cases: int, scratch: Path, repeatable: bool, shrink: bool = True) -> Tally:
    """Run a parser on a number of different inputs.

    Parameters
    ----------
    parser : Parser
    cases : int
    scratch : Path
        Parent of the folders of the inputs.
    repeatable : bool
        Whether all runs have the same inputs.
    shrink : bool
        Whether to search for the smallest failing input.

    Returns
    -------
    Tally
    """
    tally = Tally(parser.name)
    done: set[bytes] = set()

    def each(given: Any) -> None:
        key = hashlib.blake2b(repr(given).encode("utf-8", "surrogatepass"), digest_size=12).digest()
        if key in done or len(done) >= cases:
            return
        tally.cases += 1
        with folder_in(scratch) as place:
            tally.accepted += judge(parser, given, place) == ACCEPTED
        done.add(key)

    how = settings(
        max_examples=max(20, cases),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        print_blob=False,
    )
    with tally.counting():
        for turn in range(MOST_TURNS):
            tally.seed = turn if repeatable else secrets.randbits(64)
            if len(done) < cases:
                seed(tally.seed)(how(given(parser.inputs)(each)))()
    return tally


@contextmanager
def folder_in(scratch: Path) -> Iterator[Path]:
    """Create a folder with a unique name, and delete it at the end."""
    place = Path(tempfile.mkdtemp(prefix="case-", dir=scratch))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


# -- watching

_WRITES = frozenset({
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
    "shutil.move", "shutil.rmtree", "shutil.copyfile",
})  # fmt: skip
_CACHES = (".pyc", ".nbi", ".nbc")
"""Suffixes of the caches of Python and numba."""
GRAPH_WORKER = "inficond.core.models.graph_worker"
"""Process that checks graphs under limits of memory and time."""


class _Watch:
    """Audit hook that records forbidden events."""

    def __init__(self) -> None:
        self.places: tuple[str, ...] = ()
        self.wrong: list[str] = []
        self.others: frozenset[int] = frozenset()
        """Threads that were running before, for example of an earlier test."""
        sys.addaudithook(self.hear)

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.places or threading.get_ident() in self.others:
            return
        if event == "open":
            path, mode, flags = args
            if isinstance(path, int) or not _writes(mode, flags):
                return
            self.see(event, path)
        elif event in _WRITES:
            changed = args[1:2] if event in ("os.link", "os.symlink", "shutil.copyfile") else args[:1]
            folder = next((a for a in args[1:] if type(a) is int and a > 2), None)  # names relative to it
            for path in args[:2] if event in ("os.rename", "shutil.move") else changed:
                self.see(event, path, folder if event in ("os.remove", "os.rmdir", "os.mkdir") else None)
        elif event == "subprocess.Popen" and GRAPH_WORKER in args[1]:
            return
        elif event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec"):
            self.wrong.append(f"{event} {args!r:.200}")

    def see(self, event: str, path: Any, folder: int | None = None) -> None:
        if folder is not None and not os.path.isabs(path):
            if not os.path.isdir("/proc/self/fd"):
                return
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))
        name = os.path.abspath(os.fsdecode(path))
        inside = any(name == place or name.startswith(f"{place}{os.sep}") for place in self.places)
        if inside or name == os.devnull or "__pycache__" in name or name.endswith(_CACHES):
            return
        self.wrong.append(f"{event} {ascii(name)[:200]}")


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


_watch = _Watch()


@contextmanager
def watched(*places: Path) -> Iterator[None]:
    """Limit time and memory of a block, and its writes to these folders."""
    _watch.others = frozenset(t.ident for t in threading.enumerate() if t.ident) - {threading.get_ident()}
    _watch.places, _watch.wrong = tuple(map(os.path.abspath, places)), []
    try:
        with _patience(), _memory():
            yield
    except _Hang:
        raise Bug(f"it was not done after {PATIENCE:g} s of processor time") from None
    except MemoryError as error:
        raise Bug(f"it needs more than {MEMORY >> 20} MiB: {error}") from None
    finally:
        _watch.places = ()
    if _watch.wrong:
        raise Bug(f"it reached outside its folder: {'; '.join(_watch.wrong[:3])}")


@contextmanager
def _patience() -> Iterator[None]:
    """Limit the processor time of a block."""
    if not hasattr(signal, "ITIMER_PROF") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(*_: object) -> None:
        raise _Hang

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _memory() -> Iterator[None]:
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):  # not Linux: nothing tells
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# -- cases that were found once


def encoded(given: Any) -> Any:
    """Convert an input to plain JSON; `decoded` is the inverse."""
    if isinstance(given, bytes):
        return {"$bytes": base64.b64encode(zlib.compress(given, 9)).decode()}
    if isinstance(given, Long):
        return {"$long": [given.text, given.times]}
    if isinstance(given, Raw):
        return {"$raw": base64.b64encode(zlib.compress(given.text.encode(), 9)).decode()}
    if isinstance(given, Pairs):
        return {"$pairs": [[encoded(k), encoded(v)] for k, v in given.items]}
    if isinstance(given, tuple):
        return {"$tuple": [encoded(v) for v in given]}
    if isinstance(given, dict):
        return {k: encoded(v) for k, v in given.items()}
    return [encoded(v) for v in given] if isinstance(given, list) else given


def decoded(said: Any) -> Any:
    """Return an input from the JSON of a stored case."""
    if isinstance(said, list):
        return [decoded(v) for v in said]
    if not isinstance(said, dict):
        return said
    if len(said) == 1:
        ((key, value),) = said.items()
        if key == "$bytes":
            return zlib.decompress(base64.b64decode(value))
        if key == "$long":
            return Long(*value)
        if key == "$raw":
            return Raw(zlib.decompress(base64.b64decode(value)).decode())
        if key == "$pairs":
            return Pairs(tuple((decoded(k), decoded(v)) for k, v in value))
        if key == "$tuple":
            return tuple(decoded(v) for v in value)
    return {k: decoded(v) for k, v in said.items()}


def kept_cases() -> list[tuple[str, int, dict[str, Any]]]:
    """Return parser, number and content of each stored case: `input`, `was` (behaviour before), `now`."""
    found = []
    for path in sorted(CASES.glob("*.json")):
        for number, case in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            found.append((path.stem, number, case))
    return found
