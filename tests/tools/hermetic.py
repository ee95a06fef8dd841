"""Tests with a home, a cache and a temporary folder that are filled by others, unusable, or empty.

``make hermetic`` runs the tests that use such folders three times:

- *left over*: half-written demos, damaged kernels and files in the way, as earlier runs and other users leave
  them;
- *no home*: home and cache cannot be created;
- *empty*: new folders.

Arguments replace the tests that are run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = (
    "tests/demo/test_project.py", "tests/cli", "tests/project", "tests/history", "tests/images",
    "tests/tables", "tests/models/test_folders.py", "tests/processors", "tests/solver/test_compilation.py",
    "tests/bundle",
)  # fmt: skip


def left_over(root: Path) -> dict[str, str]:
    """Fill the folders as interrupted runs, other versions and other users do; return the environment."""
    from inficond.core.demo.project import fingerprint

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
    (cache / "inficond" / "encodings.sqlite").write_bytes(b"not a database")
    (cache / "inficond" / "models").write_text("a file where a folder is made")
    return variables(home, cache, temporary)


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
    "left over": left_over, "no home": no_home, "empty": empty,
}  # fmt: skip


def run(state: str, tests: list[str]) -> int:
    """Run tests in one state of the folders; return pytest's exit code."""
    root = Path(tempfile.mkdtemp(prefix="hermetic-"))
    try:
        env = STATES[state](root)
        print(f"hermetic: {state}", flush=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "0",
            "-m",
            "not nightly",
            "-p",
            "no:cacheprovider",
        ]
        return subprocess.run([*command, *tests], cwd=ROOT, env=env, check=False).returncode
    finally:
        shutil.rmtree(root, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Run the tests in every state; return 1 if any run failed."""
    failed = [state for state in STATES if run(state, arguments or list(TESTS)) != 0]
    print(f"hermetic: failed with folders {', '.join(failed)}" if failed else "hermetic: all runs passed")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
