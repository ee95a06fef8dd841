"""Tests with a home, a cache and a temporary folder that are filled by others, unusable, or empty.

``make hermetic`` runs the tests that use such folders four times:

- *left over*: half-written demos, damaged kernels and files in the way, as earlier runs and other users leave
  them;
- *read-only*: the same, and none of the three can be written; temporary files then go to the folder that
  Python tries next, and pytest has one of its own;
- *no home*: home and cache cannot be created;
- *empty*: new folders.

Root can write to a folder in spite of its permissions, so for root the folders are mounted read-only in a
mount namespace. Arguments replace the tests that are run: ``make hermetic ARGS=tests`` runs all.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = (
    "tests/demo/test_project.py", "tests/cli", "tests/project", "tests/history", "tests/images",
    "tests/tables", "tests/models/test_folders.py", "tests/processors", "tests/solver/test_compilation.py",
    "tests/bundle", "tests/models/test_cache_directory.py", "tests/tuning/test_cache.py", "tests/serving",
)  # fmt: skip


def left_over(root: Path) -> dict[str, str]:
    """Fill the folders as interrupted runs, other versions and other users do; return the environment."""
    from inficond.core.demo.project import fingerprint
    from inficond.core.pipeline.encoding_cache import FILE

    home, cache, temporary = (root / name for name in ("home", "cache", "tmp"))
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    demo = f"demo-{fingerprint()}"
    for place in (cache / "inficond", home / ".cache" / "inficond", temporary / f"inficond-{owner}"):
        (place / demo / "thumbnails").mkdir(parents=True)
        (place / demo / "project.json").write_text('{"format_version": 1, "half')
        (place / f".{demo}-abandoned").mkdir()
        (place / "demo-000000000000").mkdir()
    (temporary / f"inficond-{owner}").chmod(0o700)
    kernels = temporary / f"inficond-kernels-{owner}"
    kernels.mkdir(mode=0o700)
    (kernels / "fused_passes.x.nbi").write_bytes(b"damaged")
    (temporary / "inficond-tests-old").mkdir()
    (cache / "inficond" / "encodings").mkdir()
    (cache / "inficond" / "encodings" / FILE).write_bytes(b"not a database")
    (cache / "inficond" / "models").write_text("a file where a folder is made")
    return variables(home, cache, temporary)


def read_only(root: Path) -> dict[str, str]:
    """Fill the folders as `left_over` does; `run` makes them read-only."""
    return left_over(root)


def no_home(root: Path) -> dict[str, str]:
    """Return an environment whose home and cache cannot be created, whoever asks."""
    (root / "file").write_text("no folder")
    (root / "tmp").mkdir()
    return variables(root / "file" / "home", root / "file" / "cache", root / "tmp")


def empty(root: Path) -> dict[str, str]:
    """Return an environment with new folders."""
    for name in ("home", "cache", "tmp"):
        (root / name).mkdir()
    return variables(root / "home", root / "cache", root / "tmp")


def variables(home: Path, cache: Path, temporary: Path) -> dict[str, str]:
    """Return the environment of a run."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("INFICOND_CACHE", "XDG_", "PYTEST_"))}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(cache), "TMPDIR": str(temporary)}


STATES: dict[str, Callable[[Path], dict[str, str]]] = {
    "left over": left_over, "read-only": read_only, "no home": no_home, "empty": empty,
}  # fmt: skip
MOUNT = ("unshare", "--mount")
"""Runs a command in a mount namespace of its own."""


def can_be_read_only() -> bool:
    """Return whether `run` can make folders read-only: for root only with the right to mount."""
    if os.name == "nt":
        return False
    if os.geteuid() != 0:
        return True
    return (
        bool(shutil.which(MOUNT[0])) and subprocess.run([*MOUNT, "true"], capture_output=True).returncode == 0
    )


def with_read_only(folders: Sequence[Path], command: Sequence[str]) -> list[str]:
    """Return a command for which folders are read-only."""
    if os.geteuid() != 0:
        for folder in folders:
            folder.chmod(0o555)
        return list(command)
    mounts = [
        f"mount --bind {at} {at} && mount -o remount,ro,bind {at}"
        for at in map(shlex.quote, map(str, folders))
    ]
    return [*MOUNT, "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh", *command]


def run(state: str, tests: list[str]) -> int:
    """Run tests in one state of the folders; return pytest's exit code."""
    root = Path(tempfile.mkdtemp(prefix="hermetic-"))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "not nightly", "-p", "no:cacheprovider"]
    command += [f"--basetemp={root / 'pytest'}", *tests]
    folders = [root / name for name in ("home", "cache", "tmp")]
    try:
        env = STATES[state](root)
        print(f"hermetic: {state}", flush=True)
        if state == "read-only":
            command = with_read_only(folders, command)
        return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
    finally:
        for folder in filter(Path.is_dir, folders):
            folder.chmod(0o755)
        shutil.rmtree(root, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Run the tests in every state; return 1 if any run failed."""
    states = [state for state in STATES if state != "read-only" or can_be_read_only()]
    if len(states) < len(STATES):
        print("hermetic: read-only is left out: it needs an account other than root, or the right to mount")
    failed = [state for state in states if run(state, arguments or list(TESTS)) != 0]
    print(f"hermetic: failed with folders {', '.join(failed)}" if failed else "hermetic: all runs passed")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
