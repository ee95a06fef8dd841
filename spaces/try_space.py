"""Test run of an assembled folder under the conditions of a Space: `python spaces/try_space.py FOLDER`.

Installs the requirements in a fresh environment, starts the app with the environment variables of a Space on
two processors, with a read-only folder and home except for caches, and runs simulated visitors. Prints
durations, latencies and the memory of the server.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROCESSORS = 2
PATIENCE = 180.0
"""Seconds after which a Space without a response has failed."""


@dataclass(frozen=True)
class Running:
    """A Space that responds.

    Parameters
    ----------
    url : str
    pid : int
    seconds : float
        From the start of the process to its first page.
    log : Path
        File with its output.
    """

    url: str
    pid: int
    seconds: float
    log: Path


def install(folder: Path, environment: Path) -> tuple[float, list[str]]:
    """Create a virtual environment with the folder's requirements.

    Like on a Space, the rest of the folder is not available during the installation.

    Parameters
    ----------
    folder : Path
        An assembled folder.
    environment : Path
        Path of the new environment.

    Returns
    -------
    seconds : float
    packages : list of str
        Names of the installed packages.
    """
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as alone:
        shutil.copy(folder / "requirements.txt", alone)
        command = [python, "-m", "pip", "install", "--quiet", "-r", "requirements.txt"]
        subprocess.run(command, cwd=alone, check=True)
    seconds = time.monotonic() - began
    listed = [python, "-m", "pip", "list", "--format", "json"]
    told = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    return seconds, sorted(p["name"] for p in json.loads(told) if p["name"] not in ("pip", "setuptools"))


@contextlib.contextmanager
def running(folder: Path, environment: Path, scratch: Path) -> Iterator[Running]:
    """Start the folder's app like a Space, wait until it responds, and stop it at the end.

    Parameters
    ----------
    folder, environment : Path
    scratch : Path
        Folder for the home and the log. The home is read-only except for `.cache`.

    Yields
    ------
    Running

    Raises
    ------
    RuntimeError
        It ended or did not respond.
    """
    home = scratch / "home"
    (home / ".cache").mkdir(parents=True)
    folders = [p for p in folder.rglob("*") if p.is_dir() and p.name != "__pycache__"]
    locked = [home, folder, *folders]
    for place in locked:
        place.chmod(0o555)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    variables = {
        "PATH": f"{environment / 'bin'}:/usr/bin:/bin",
        "HOME": str(home),
        "HF_HOME": str(home / ".cache" / "huggingface"),
        "SYSTEM": "spaces",
        "SPACE_ID": "somebody/inficond",
        "SPACE_HOST": "somebody-inficond.hf.space",
        "SPACE_AUTHOR_NAME": "somebody",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    log = scratch / "log"
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*_confined(), environment / "bin" / "python", "app.py"],
            cwd=folder, env=variables, stdout=out, stderr=out, preexec_fn=_two_processors,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url):
            if process.poll() is not None or time.monotonic() - began > PATIENCE:
                raise RuntimeError(f"the Space did not respond:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        yield Running(url, process.pid, time.monotonic() - began, log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for place in locked:
            place.chmod(0o755)


def _confined() -> list[str]:
    """Return a command prefix that drops root's capabilities, since root can write to read-only files."""
    if os.geteuid() == 0 and (setpriv := shutil.which("setpriv")):
        return [setpriv, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    return []


def _two_processors() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:PROCESSORS])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return bool(page.status == 200)
    except OSError:
        return False


LOAD = """
import json, sys
from pathlib import Path
import compiled_kernels
from served import served_project
folder, url, pid, visitors, seconds = sys.argv[1:]
compiled_kernels.activate(Path(folder))
from inficond.gradio_app.bench.visitors import visit
from inficond.gradio_app.bench.load_scenarios import MIXES
found = visit(url, int(pid), served_project(Path(folder)), MIXES["tuning"], int(visitors), float(seconds))
print(json.dumps(found))
"""


def load(folder: Path, environment: Path, space: Running, visitors: int, seconds: float) -> dict[str, Any]:
    """Run visitors on a Space and compare its responses with the folder's own package.

    The reference uses the same compiled kernels as the Space. Machine code of another processor rounds
    differently, so that a fit may end at another iteration.

    Parameters
    ----------
    folder, environment : Path
    space : Running
    visitors : int
        Number of visitors at the same time.
    seconds : float

    Returns
    -------
    dict
        Result of `inficond.gradio_app.bench.visitors.visit`.
    """
    command = [environment / "bin" / "python", "-c", LOAD, folder, space.url, space.pid, visitors, seconds]
    variables = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [str(word) for word in command], env=variables, cwd=environment, check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def trial(folder: Path, visitors: int, minutes: float) -> dict[str, Any]:
    """Install and start the folder, and run visitors.

    Returns
    -------
    dict
        `install_s`, `packages`, `first_page_s` (from the start of the process), `load` (result of `load`),
        `log` (output of the server).
    """
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        seconds, packages = install(folder, scratch / "environment")
        with running(folder, scratch / "environment", scratch) as space:
            found = load(folder, scratch / "environment", space, visitors, 60 * minutes)
            log = space.log.read_text(errors="replace")
    first = {"install_s": seconds, "packages": len(packages), "first_page_s": space.seconds}
    return {**first, "load": found, "log": log}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=5.0)
    args = parser.parse_args()
    from inficond.gradio_app.bench.visitors import summary_lines

    found = trial(args.folder.resolve(), args.visitors, args.minutes)
    print(f"installed in {found['install_s']:.0f} s: {found['packages']} packages")
    print(f"first page {found['first_page_s']:.1f} s after the start of the process")
    print("\n".join(summary_lines(found["load"])))
