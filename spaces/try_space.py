"""Tries an assembled folder as a Space would run it: `python spaces/trial.py FOLDER`.

Installs its requirements in a fresh environment, starts its app with a Space's environment variables on two
processors, the folder and the home read-only but for their caches, and sends visitors. Prints how long each
took and how much memory the server holds.
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
"""Seconds after which a Space that does not answer is given up."""


@dataclass(frozen=True)
class Running:
    """A Space that answers.

    Parameters
    ----------
    url : str
    pid : int
    seconds : float
        From the start of the process to its first page.
    log : Path
        What it printed.
    """

    url: str
    pid: int
    seconds: float
    log: Path


def install(folder: Path, environment: Path) -> tuple[float, list[str]]:
    """A fresh virtual environment with the folder's requirements and nothing else.

    A Space installs them without the rest of the folder, so here too only the list is at hand.

    Parameters
    ----------
    folder : Path
        As `spaces/assemble.py` made it.
    environment : Path
        To be made.

    Returns
    -------
    seconds : float
    packages : list of str
        What was installed.
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
    """Start the folder's app as a Space does, until it answers; stop it at the end.

    Parameters
    ----------
    folder, environment : Path
    scratch : Path
        For the home and the log; the home is read-only but for `.cache`.

    Yields
    ------
    Running

    Raises
    ------
    RuntimeError
        It ended or did not answer.
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
                raise RuntimeError(f"the Space did not answer:\n{log.read_text(errors='replace')[-3000:]}")
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
    """Root may write to what is read-only: let go of that power where this runs as root."""
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
folder, url, pid, visitors, seconds = sys.argv[1:]
compiled_kernels.use(Path(folder))
from inficond.gradio_app.bench.visitors import visit
from inficond.gradio_app.bench.load_scenarios import MIXES
found = visit(url, int(pid), Path(folder, "demo"), MIXES["tuning"], int(visitors), float(seconds))
print(json.dumps(found))
"""


def load(folder: Path, environment: Path, space: Running, visitors: int, seconds: float) -> dict[str, Any]:
    """Send visitors to a Space that runs, and hold its answers against the folder's own package.

    The reference runs the same machine code as the Space: another processor's would round otherwise, and a
    fit that ends when it is good enough then ends elsewhere now and then.

    Parameters
    ----------
    folder, environment : Path
    space : Running
    visitors : int
        At once.
    seconds : float

    Returns
    -------
    dict
        As `inficond bench visitors` tells it.
    """
    command = [environment / "bin" / "python", "-c", LOAD, folder, space.url, space.pid, visitors, seconds]
    variables = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [str(word) for word in command], env=variables, cwd=environment, check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def trial(folder: Path, visitors: int, minutes: float) -> dict[str, Any]:
    """Install, start, visit; what it took.

    Returns
    -------
    dict
        `install_s`, `packages`, `first_page_s` (from the start of the process), `load` (as
        `inficond bench visitors` tells it), `log` (what the server printed).
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
    from inficond.gradio_app.bench.visitors import told

    found = trial(args.folder.resolve(), args.visitors, args.minutes)
    print(f"installed in {found['install_s']:.0f} s: {found['packages']} packages")
    print(f"first page {found['first_page_s']:.1f} s after the start of the process")
    print("\n".join(told(found["load"])))
