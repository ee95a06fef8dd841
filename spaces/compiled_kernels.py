"""Compiled kernels of a Space, which would otherwise compile them for about a minute at every start.

Numba caches compiled code beside the source, by the size and modification time of the source and the
processor. `compile_kernels` compiles for any x86-64 processor with AVX2 and sets the times to a constant.
`activate`, which must be called before Numba is imported, sets the times again, because a checkout changes
them, and selects that processor. On other processors, or in a read-only folder, the kernels are compiled as
usual.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

STAMP = 1_600_000_000
NEEDED = ("avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
"""Required features of the processor, as named in /proc/cpuinfo."""
SETTINGS = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,"
    "+popcnt,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave",
}
COMPILE = """
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


def is_supported() -> bool:
    """Return whether this machine can run kernels of `compile_kernels`."""
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


def compile_kernels(folder: Path) -> bool:
    """Compile the kernels of an assembled folder; return False if this machine cannot.

    Parameters
    ----------
    folder : Path
        The assembled folder, with `inficond` and `demo`.
    """
    if not is_supported():
        return False
    _stamp(folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {**SETTINGS, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", COMPILE], cwd=folder, env=environment, check=True)
    for left in (folder / "demo").glob("history.sqlite*"):
        left.unlink()
    return True


def activate(folder: Path) -> bool:
    """Let Numba find the compiled kernels; return False if it has to compile them.

    Parameters
    ----------
    folder : Path
        Folder of the Space.
    """
    if not is_supported() or not any((folder / "inficond").rglob("*.nbi")):
        return False
    try:
        _stamp(folder)
    except OSError:
        return False
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    return True
