"""Compilation and caching of the kernels, with and without a writable folder."""

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import config

from inficond.core import kernel_cache
from inficond.core.solver.kernels import compilation

# The module is imported without its package, whose kernels take minutes to compile where there is no cache.
CODE = """
import importlib.util

import numpy as np
{setup}
spec = importlib.util.spec_from_file_location("compilation", {module!r})
compilation = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compilation)

@compilation.jit(double="f8(f8[::1])")
def twice(x):
    return 2 * x[0]

print(twice(np.array([4.0])), end=" ")
made = twice.loaded[np.dtype(np.float64)]
print(type(made._cache).__name__, getattr(made._cache, "_cache_path", None))
"""


def run(tmp_path, setup, **env):
    script = tmp_path / "kernel.py"
    script.write_text(CODE.format(setup=setup, module=compilation.__file__))
    inherited = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    env = {**inherited, **env}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=env, check=True)
    return done.stdout.split()


def printed(code):
    """Return the output of a process that runs code or a script."""
    given = [code] if isinstance(code, Path) else ["-c", code]
    return subprocess.run([sys.executable, *given], capture_output=True, text=True, check=True).stdout.strip()


# Tests may run as root, for whom every folder is writable, so the locators of writable folders are removed.
NOWHERE = """
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = [c for c in CacheImpl._locator_classes if "UserProvided" in c.__name__]
"""


def test_code_is_cached_beside_its_source(tmp_path):
    value, kind, place = run(tmp_path, "")
    assert (value, kind) == ("8.0", "FunctionCache")
    assert Path(place).parent == tmp_path


FIT = """
import sys
import numpy as np
from inficond.core.evaluation.metrics import average_precision
from inficond.core.solver import fit

X = np.random.default_rng(0).random((60, 5), np.float32)
shares = np.c_[X[:, :1], 1 - X[:, :1]], X[:, :3] / X[:, :3].sum(1, keepdims=True)  # by passes, Newton steps
for link, T in (("sigmoid", X[:, :2]), *(("softmax", share) for share in shares)):
    assert fit(X, T, 0.01, link=link).converged.all()
assert average_precision(np.r_[np.ones(30), np.zeros(30)], X[:, 0]) > 0
print([name for name in ("numba.np.linalg", "numba.np.arrayobj") if name in sys.modules])
"""


COUNT = """
import numba.core.event as event

class Compilations(event.Listener):
    count = 0
    def on_start(self, event): self.count += 1
    def on_end(self, event): pass

seen = Compilations()
event.register("numba:compile", seen)
import {modules}
found = [module.times(2.0) for module in ({modules},)]
print(seen.count > 0, found)
"""


@pytest.mark.skipif(
    numba.version_info[:2] not in kernel_cache.LEAN_VERSIONS, reason="with this Numba, kernels load as usual"
)
def test_cached_kernels_run_without_what_numba_needs_to_compile():
    printed(FIT)  # compiles what is not cached yet
    assert printed(FIT) == "[]"


def test_code_compiled_after_cached_code_was_loaded_is_cached_too(tmp_path):
    for factor, name in enumerate(("first", "second"), 2):
        (tmp_path / f"{name}.py").write_text(
            "import numpy as np\nfrom inficond.core.kernel_cache import cached_njit\n\n\n"
            f'@cached_njit("f8(f8)")\ndef times(x):\n    return {factor} * np.full(1, x)[0]\n'
        )
    script = tmp_path / "script.py"

    def compiled_by(modules):
        script.write_text(COUNT.format(modules=", ".join(modules)))
        return printed(script)

    assert compiled_by(["first"]) == "True [4.0]"
    assert compiled_by(["first", "second"]) == "True [4.0, 6.0]"
    assert compiled_by(["first", "second"]) == "False [4.0, 6.0]"


def test_code_is_cached_in_a_private_folder_without_a_writable_one(tmp_path):
    value, kind, place = run(tmp_path, NOWHERE, TMPDIR=str(tmp_path))
    assert (value, kind) == ("8.0", "FunctionCache")
    assert Path(place).is_relative_to(tmp_path)
    assert any(Path(place).glob("*.nbc"))


def test_a_folder_that_others_can_write_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = kernel_cache.private_folder()
    assert folder is not None
    folder.chmod(0o777)
    assert kernel_cache.private_folder() is None
    shutil.rmtree(folder)
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert kernel_cache.private_folder() is None
    value, kind, _ = run(tmp_path, NOWHERE, TMPDIR=str(tmp_path))
    assert (value, kind) == ("8.0", "NullCache")


def test_a_change_of_an_inlined_file_invalidates_the_cache(tmp_path):
    setup = "import factor, numba\nfactor = numba.njit(factor.factor)"
    script = CODE.replace("2 * x[0]", "factor() * x[0]")
    (tmp_path / "kernel.py").write_text(script.format(setup=setup, module=compilation.__file__))
    for value in (2.0, 16.0):  # of another length: within a second, Python takes equal lengths for no change
        (tmp_path / "factor.py").write_text(f"def factor():\n    return {value}\n")
        assert printed(tmp_path / "kernel.py").split()[0] == str(value * 4)


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
    printed(code)
    assert printed(code) == "0"


def test_kernels_are_loaded_on_first_use():
    code = (
        "import numpy as np\n"
        "from inficond.core.solver import fit\n"
        "from inficond.core.solver.kernels import class_step, fused_passes, joint_step\n"
        "X = np.random.default_rng(0).random((600, 600), dtype=np.float32)\n"
        "fit(X, X[:, :2], 0.05, tol=1e-2)\n"
        "kernels = (class_step.minimize_class_models, fused_passes.sigmoid_pass,\n"
        "           joint_step.minimize_joint_models)\n"
        "print([sorted(map(str, kernel.loaded)) for kernel in kernels])"
    )
    assert printed(code) == "[['float32'], ['float32'], []]"


def test_code_that_is_not_cached_is_compiled_at_import(tmp_path):
    setup = (
        "import numba.core.event as event\n"
        "class Seen(event.Listener):\n"
        "    def on_start(self, event): print('compiled', end=' ')\n"
        "    def on_end(self, event): pass\n"
        "event.register('numba:compile', Seen())"
    )
    assert run(tmp_path, setup)[:2] == ["compiled", "8.0"]
    assert run(tmp_path, setup)[0] == "8.0"
    (tmp_path / "kernel.py").write_text((tmp_path / "kernel.py").read_text().split("print(twice")[0])
    alone = subprocess.run([sys.executable, tmp_path / "kernel.py"], capture_output=True, check=True)
    assert alone.stdout == b"compiled "  # although it is not called
    assert not subprocess.run([sys.executable, tmp_path / "kernel.py"], capture_output=True).stdout


def test_an_interrupted_compilation_is_ended_at_import(tmp_path):
    setup = (
        "import os, numba.core.event as event\n"
        "class Seen(event.Listener):\n"
        "    seen = 0\n"
        "    def on_start(self, event):\n"
        "        self.seen += 1\n"
        "        if self.seen > int(os.environ['MOST']): os._exit(1)\n"
        "        print('compiled', end=' ', flush=True)\n"
        "    def on_end(self, event): pass\n"
    )
    code = CODE.replace(
        "@compilation.jit(double=",
        "event.register('numba:compile', Seen())\n@compilation.jit('f4(f4[::1])', ",
    )
    script = tmp_path / "kernel.py"
    script.write_text(code.format(setup=setup, module=compilation.__file__).split("print(twice")[0])

    def compiled(most):
        environment = {**os.environ, "MOST": str(most)}
        return subprocess.run([sys.executable, script], capture_output=True, env=environment).stdout.split()

    assert len(compiled(most=1)) == 1
    assert len(compiled(most=2)) == 1
    assert not compiled(most=2)


def test_warm_up_loads_every_kernel():
    code = (
        "from inficond.core.solver import warm_up\n"
        "from inficond.core.solver.kernels import (class_step, column_passes, fenchel_young,\n"
        "    fused_passes, joint_step, losses, moments)\n"
        "warm_up()\n"
        "used = [column_passes.polish, class_step.minimize_class_models, joint_step.minimize_joint_models,\n"
        "        fused_passes.sigmoid_pass, fused_passes.softmax_pass, moments.add_moments,\n"
        "        losses.binary_entropy, losses.softmax_entropy]\n"
        "gap = fenchel_young.fenchel_young\n"
        "print([k.function.__name__ for k in used if len(k.loaded) < 2], len(gap.loaded))"
    )
    assert printed(code) == "[] 1"


def test_concurrent_threads_load_a_kernel_once(monkeypatch):
    calls, start = [], threading.Barrier(8)
    original = compilation.make_dispatcher
    monkeypatch.setattr(compilation, "make_dispatcher", lambda f: (calls.append(1), original(f))[1])

    @compilation.jit(single="f4(f4[::1])", double="f8(f8[::1])")
    def thrice(x):
        return 3 * x[0]

    thrice.loaded.clear()
    calls.clear()

    def call(i):
        start.wait(30)
        return thrice(np.array([i], (np.float32, np.float64)[i % 2]))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(call, range(8)))
    assert found == [3.0 * i for i in range(8)]
    assert len(calls) == 2  # one per precision


def compiled_twice_of(folder):
    """Import a module with a cached function anew; return the function."""
    path = folder / "doubling.py"
    if not path.exists():
        path.write_text(
            "from inficond.core.kernel_cache import cached_njit\n\n\n"
            '@cached_njit("f8(f8)")\ndef twice(x):\n    return 2 * x\n'
        )
    spec = importlib.util.spec_from_file_location("doubling", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice


def test_damaged_cache_files_are_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    compiled_twice_of(tmp_path)
    for kind in ("nbi", "nbc"):
        for content in (b"", b"\x80\x04\x95cut off", b"\xff" * 300):
            (file,) = (tmp_path / "cache").rglob(f"*.{kind}")
            file.write_bytes(content)
            assert compiled_twice_of(tmp_path)(4.0) == 8.0
            assert file.read_bytes() != content
    index = next((tmp_path / "cache").rglob("*.nbi"))
    index.unlink()
    index.mkdir()  # cannot be replaced; nothing is cached then
    assert compiled_twice_of(tmp_path)(4.0) == 8.0
