"""Brings a Space's kernels along compiled: a Space keeps no disk, and compiling them takes most of a minute.

Numba keeps what it compiled beside the source, under the source's size and time of change and the processor
it is for. `make` compiles for any x86-64 processor with AVX2 and sets the times to a constant; `use`, called
before anything else at start, sets them again (a checkout does not keep them) and names that processor. Where
it lacks AVX2, is no x86-64, or the folder cannot be written, the kernels are compiled as anywhere else.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

STAMP = 1_600_000_000
NEEDED = ("avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
"""As /proc/cpuinfo calls what the chosen processor has beyond every x86-64."""
SETTINGS = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,"
    "+popcnt,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave",
}
MAKE = """
from inficond.core import Project
from inficond.core.solver import warm_up
from inficond.core.tuning.actions import Action

warm_up()
session = Project.open("demo").session()
for cls in session.project.classes[:2]:
    mute = [Action("mute", session.concepts[int(abs(session.influence(cls).weights).argmax())])]
    for focus in (None, "missed", "extra"):
        if focus is None or len(session.subset(cls, focus)):
            session.preview(cls, mute, focus)
    session.apply(cls, mute)
    session.metrics(cls), session.slices(cls), session.suggest(cls), session.missing_concepts(cls)
session.summary()
"""


def suits() -> bool:
    """Whether this machine runs what `make` compiles."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    try:
        flags = next(
            x for x in Path("/proc/cpuinfo").read_text().split("\n") if x.startswith("flags")
        ).split()
    except (OSError, StopIteration):
        return False
    return set(NEEDED) <= set(flags)


def _sources(folder: Path) -> list[Path]:
    return sorted((folder / "inficond").rglob("*.py"))


def _stamp(folder: Path) -> None:
    for path in _sources(folder):
        os.utime(path, (STAMP, STAMP))


def make(folder: Path) -> bool:
    """Compile the kernels of an assembled folder into it; False where this machine cannot.

    Parameters
    ----------
    folder : Path
        With `inficond` and `demo` in place.
    """
    if not suits():
        return False
    _stamp(folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {**SETTINGS, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", MAKE], cwd=folder, env=environment, check=True)
    for left in (folder / "demo").glob("history.sqlite*"):
        left.unlink()
    return True


def use(folder: Path) -> bool:
    """Let Numba find what `make` compiled, before it is imported; False where it must compile.

    Parameters
    ----------
    folder : Path
        The Space's.
    """
    if not suits() or not any((folder / "inficond").rglob("*.nbi")):
        return False
    try:
        _stamp(folder)
    except OSError:
        return False
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    return True
