"""How one input is tried, watched and counted.

A parser may do two things with any input: give back something that holds, or refuse it with one line that
names the thing. Anything else is a bug: another exception, a hang, more memory than `MEMORY`, a file written
outside the folder it was given, an address asked for.
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
"""Bytes of address space that one input may cost beyond what the process has (where the system can tell)."""
PATIENCE = 30.0
"""Seconds of processor time after which an input counts as a hang; the longest has some megabytes."""
LONGEST_LINE = 2000
"""Characters of a refusal."""
MOST_TURNS = 12
"""Hypothesis comes back to inputs that it had: so often it is begun anew, for as many as wanted."""
CI_CASES, NIGHTLY_CASES = 1_000, 100_000
"""Inputs to all parsers together."""
ACCEPTED, REFUSED = "accepted", "refused"
CASES = Path(__file__).with_name("cases")


class Bug(AssertionError):
    """What no input may bring about."""


class _Hang(BaseException):
    """Not an `Exception`: a decoder that catches those must not catch this."""


@dataclass(frozen=True)
class Parser:
    """Something of ours that reads what others wrote.

    Parameters
    ----------
    name : str
    inputs : SearchStrategy
        What is tried: most of it nearly right.
    parse : callable
        ``parse(given, place)`` with a new empty folder; gives anything, or raises `InputError`.
    holds : callable
        ``holds(thing, given, place)`` asserts what is true of everything that was accepted.
    names : tuple of str
        One of them stands in every refusal.
    also : tuple of Path
        Folders beside `place` that it may write to.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    parse: Callable[[Any, Path], Any]
    holds: Callable[[Any, Any, Path], None]
    names: tuple[str, ...]
    also: tuple[Path, ...] = ()


@dataclass
class Tally:
    """What was really run."""

    name: str
    cases: int = 0
    seed: int = 0
    accepted: int = 0
    steps: int = 0
    seconds: float = 0.0
    bugs: list[str] = field(default_factory=list)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Time what is inside, and keep the tally whether it goes well or not."""
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
"""Of this process; `conftest` tells them when the tests are over."""


def judge(parser: Parser, given: Any, place: Path) -> str:
    """Try one input.

    Parameters
    ----------
    parser : Parser
    given : object
        The input.
    place : Path
        An empty folder, the only one that may be written to.

    Returns
    -------
    str
        `ACCEPTED` or `REFUSED`.

    Raises
    ------
    Bug
        It did something else.
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
    """A refusal is one line for people, that any terminal and any browser can show."""
    shown = ascii(line[:300])
    if not line.strip() or not line.translate(dict.fromkeys(map(ord, JOINERS))).isprintable():
        raise Bug(f"the refusal is no printable line: {shown}")
    if len(line) > LONGEST_LINE:
        raise Bug(f"the refusal has {len(line):,} characters: {shown}")
    if "not enough memory" in line:
        raise Bug(f"the input needs more than {MEMORY >> 20} MiB: {shown}")
    if not any(name in line for name in names):
        raise Bug(f"the refusal names none of {names}: {shown}")


def fuzz(parser: Parser, cases: int, scratch: Path, repeatable: bool, shrink: bool = True) -> Tally:
    """Try so many different inputs; what was tried is counted as it happens.

    Parameters
    ----------
    parser : Parser
    cases : int
    scratch : Path
        Where each input gets a folder of its own.
    repeatable : bool
        The same inputs at each run, or new ones.
    shrink : bool
        Look for the smallest input that fails.

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
    """A new folder, gone afterwards; its name is never used again (checks are remembered by path)."""
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
"""Written by Python and numba beside code, whatever the input."""
GRAPH_WORKER = "inficond.core.models.graph_worker"
"""Process that checks graphs under limits of memory and time."""


class _Watch:
    """What Python's audit events tell while an input is tried."""

    def __init__(self) -> None:
        self.places: tuple[str, ...] = ()
        self.wrong: list[str] = []
        self.others: frozenset[int] = frozenset()
        """Threads at other work since before: an app of an earlier test that still makes thumbnails."""
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
    """Let nothing inside hang, grow without end, or write outside these folders."""
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
    """Processor time, so that a busy machine is no hang."""
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
    """An input as plain JSON; `decoded` is the inverse."""
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
    """An input from a file of kept cases."""
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
    """Parser, number and content of each kept case: ``was`` what it did, ``now`` what it does, ``input``."""
    found = []
    for path in sorted(CASES.glob("*.json")):
        for number, case in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            found.append((path.stem, number, case))
    return found
