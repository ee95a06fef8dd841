"""Compiled code is cached, and a fit works where nothing beside the package can be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inficond.core.solver.kernels import _compile

# The module by itself: with its package come all kernels, and where no cache can be kept they take a minute.
CODE = """
import importlib.util
import numba
{setup}
spec = importlib.util.spec_from_file_location("_compile", {module!r})
_compile = importlib.util.module_from_spec(spec)
spec.loader.exec_module(_compile)

@_compile.jit("f8(f8)")
def twice(x):
    return 2 * x

print(twice(4.0), type(twice._cache).__name__, getattr(twice._cache, "_cache_path", None))
"""


def run(tmp_path, setup, **env):
    script = tmp_path / "kernel.py"
    script.write_text(CODE.format(setup=setup, module=_compile.__file__))
    inherited = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    env = {**inherited, **env}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=env, check=True)
    return done.stdout.split()


# Tests may run as root, to whom every folder is writable: the locators are told that none is.
NOWHERE = """
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = [c for c in CacheImpl._locator_classes if "UserProvided" in c.__name__]
"""


def test_code_is_cached_beside_its_source(tmp_path):
    value, kind, place = run(tmp_path, "")
    assert (value, kind) == ("8.0", "FunctionCache")
    assert Path(place).parent == tmp_path


def test_without_a_writable_place_a_private_folder_serves(tmp_path):
    value, kind, place = run(tmp_path, NOWHERE, TMPDIR=str(tmp_path))
    assert (value, kind) == ("8.0", "FunctionCache")
    assert Path(place).is_relative_to(tmp_path)
    assert any(Path(place).glob("*.nbc"))


def test_code_is_not_loaded_from_a_folder_that_others_can_write(tmp_path, monkeypatch):
    monkeypatch.setattr(_compile.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = _compile.private_folder()
    assert folder is not None
    folder.chmod(0o777)
    assert _compile.private_folder() is None
    shutil.rmtree(folder)
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert _compile.private_folder() is None
    value, kind, _ = run(tmp_path, NOWHERE, TMPDIR=str(tmp_path))
    assert (value, kind) == ("8.0", "NullCache")


def test_code_into_which_another_file_was_inlined_is_made_anew_when_that_changes(tmp_path):
    for value in (2.0, 3.0):
        (tmp_path / "factor.py").write_text(f"def factor():\n    return {value}\n")
        setup = "import factor, numba\nfactor = numba.njit(factor.factor)"
        script = CODE.replace("2 * x", "factor() * x")
        (tmp_path / "kernel.py").write_text(script.format(setup=setup, module=_compile.__file__))
        told = subprocess.run(
            [sys.executable, tmp_path / "kernel.py"], capture_output=True, text=True, check=True
        ).stdout
        assert told.split()[0] == str(value * 4)


@pytest.mark.slow
def test_the_second_process_compiles_nothing():
    code = (
        "import numba.core.event as e\n"
        "from inficond.core.solver import warm_up\n"
        "count = []\n"
        "class L(e.Listener):\n"
        "    def on_start(self, event): count.append(1)\n"
        "    def on_end(self, event): pass\n"
        "e.register('numba:compile', L())\n"
        "warm_up()\n"
        "print(len(count))\n"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
