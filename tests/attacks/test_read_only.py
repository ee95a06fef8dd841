"""An installation on a read-only disk, run by a user without a home directory."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import inficond.core
from inficond.core import Project

UNSHARE = ["unshare", "--mount"]


def on_read_only_disk(
    package: Path, folder: Path, python: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run `inficond` where `package` cannot be written and there is no home directory.

    Parameters
    ----------
    package : Path
        Folder of the installed packages.
    folder : Path
        Folder for temporary files.
    """
    command = shlex.join([python, "-m", "inficond.core.cli.main", *arguments])
    at = shlex.quote(str(package))
    script = f"mount --bind {at} {at} && mount -o remount,ro,bind {at} && exec {command}"
    hidden = ("XDG_CACHE_HOME", "INFICOND_CACHE", "NUMBA_CACHE_DIR", "PYTHONPYCACHEPREFIX")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    return subprocess.run(
        [*UNSHARE, "sh", "-c", script],
        env={**environment, "HOME": "/proc/nonexistent", "TMPDIR": str(folder)},
        cwd=folder, capture_output=True, text=True, timeout=1500,
    )  # fmt: skip


@pytest.mark.nightly  # compiles the solver
def test_report_and_tune_work_without_a_place_for_caches(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """Finding 24: both crashed, because compiled kernels could be cached nowhere."""
    if not shutil.which("unshare") or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("needs the privilege to make a mount namespace (unshare --mount)")
    project = make_project(n=80, k=6, classes=("boat", "bird")).path
    package = Path(next(iter(inficond.core.__path__))).resolve().parent
    for arguments in (
        ["tune", str(project), "--class", "boat", "--mute", "c1", "--json"],
        ["report", str(project), "--json"],
    ):
        done = on_read_only_disk(package, tmp_path, sys.executable, *arguments)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
        assert "Traceback" not in done.stderr
