"""Encoding on Ray: the arrays of one process, also where actors, machines or the build itself end."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cluster import ray_runs
from tests.cluster.namespaces import isolated
from tests.cluster.projects import arrays

from inficond.core import Project

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra `ray`"),
    pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="reads /proc"),
]
SHARDS = 8
ANSWER_SECONDS = 8
"""Time in which a cluster must answer that the product gives as `inficond.cluster.connection.ANSWER_SECONDS`.

A shorter one: where nothing answers, a command waits that long.
"""
PATCHED = """
import sys
import inficond.cluster.connection
import inficond.core.version
from inficond import cluster, core
{change}
from inficond.core.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def inside() -> list[str]:
    found = isolated()
    if not found:
        pytest.skip("needs network namespaces (unshare -rn)")
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ray_runs.large_photos(tmp_path_factory.mktemp("large") / "photos", 128 * SHARDS)


@pytest.fixture(scope="module")
def single(tiny: Any, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The arrays of one process."""
    out = tmp_path_factory.mktemp("single") / "out"
    ray_runs.result(ray_runs.started(ray_runs.arguments(tiny, photos, out), []))
    return arrays(out)


def test_two_actors_one_of_which_is_killed_make_the_arrays_of_one_process(
    tiny: Any, photos: Path, single: dict[str, str], inside: list[str], tmp_path: Path
) -> None:
    out, store = tmp_path / "out", tmp_path / "store"
    command = ray_runs.arguments(tiny, photos, out, "--engine", "ray", "--workers", 1, "--store", store)
    run = ray_runs.started(command, inside)
    ray_runs.wait_for(lambda: ray_runs.shards(store), run)
    listening = ray_runs.listening(run.pid)
    assert listening
    assert set(listening) <= ray_runs.LOOPBACK
    os.kill(ray_runs.wait_for(lambda: ray_runs.encoders(run.pid), run)[0], signal.SIGKILL)
    assert len(ray_runs.shards(store)) < SHARDS
    ray_runs.result(run)
    assert arrays(out) == single
    assert len(ray_runs.shards(store)) == SHARDS


def test_workers_of_another_version_are_left_out(tiny: Any, inside: list[str], tmp_path: Path) -> None:
    command = ray_runs.arguments(tiny, tiny.photos, tmp_path / "out", "--engine", "ray")
    program = PATCHED.format(change="core.version.__version__ = '9.9'")
    run = ray_runs.started([sys.executable, "-c", program, *command[3:]], inside)
    _, error = run.communicate(timeout=300)
    assert run.returncode == 2
    assert "this machine 9.9: install one version" in error.splitlines()[-1]
    assert not (tmp_path / "out" / "project.json").exists()


@pytest.mark.parametrize("listens", [False, True])
def test_an_address_that_does_not_answer_is_one_line(tiny: Any, tmp_path: Path, listens: bool) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        command = ray_runs.arguments(
            tiny, tiny.photos, tmp_path / "out", "--engine", "ray", "--address", address
        )
        program = PATCHED.format(change=f"cluster.connection.ANSWER_SECONDS = {ANSWER_SECONDS}")
        done = subprocess.run(
            [sys.executable, "-c", program, *command[3:]], capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 2
    assert address in done.stderr.splitlines()[-1]
    assert "correct --address" in done.stderr.splitlines()[-1]


def test_a_fit_whose_rows_actors_hold_is_that_of_one_process(inside: list[str], tmp_path: Path) -> None:
    """Three blocks, one of whose actors is killed between two passes; the program is `distributed.py`."""
    program = [sys.executable, "-m", "tests.cluster.distributed", str(tmp_path)]
    told = ray_runs.result(ray_runs.started(program, inside), 300)
    assert told["killed"] == 1
    assert told["converged"]
    assert told["gap"] <= 1e-4
    assert told["objective"] <= 1e-4
    assert told["weights"] <= 0.02
    assert set(told["listening"]) <= ray_runs.LOOPBACK
    assert told["listening"]
    assert "block 2: cannot read" in told["refused"]


def weights(project: Path) -> np.ndarray:
    return np.asarray(Project.open(project).students.weights)


def certified(told: dict[str, Any], count: int) -> bool:
    """Whether workers held the rows of a build, and its gap is within the tolerance of fits."""
    lines = [line for line in told["choices"] if line.startswith("fit: ")]
    assert f"{count:,} training images" in lines[0]
    return float(lines[1].rpartition(" ")[2]) <= 1e-4


@pytest.mark.nightly
def test_rows_above_a_limit_are_fitted_by_actors_one_of_which_is_killed(
    tiny: Any, inside: list[str], tmp_path: Path
) -> None:
    """The program that kills an actor between two passes is `fit_driver.py`."""
    driver = [sys.executable, str(Path(__file__).with_name("fit_driver.py"))]
    local, out, store = tmp_path / "local", tmp_path / "out", tmp_path / "store"
    command = ray_runs.arguments(tiny, tiny.photos, out, "--engine", "ray", "--workers", 1, "--store", store)
    program = [*driver, "actor", str(os.getpid()), str(tmp_path), *command[3:], "--fit-memory", "0"]
    told = ray_runs.result(ray_runs.started(program, inside), 300)
    assert (tmp_path / "actor.reached").exists()
    ray_runs.result(ray_runs.started(ray_runs.arguments(tiny, tiny.photos, local), []))
    assert certified(told, told["images"] - told["validation"])
    expected = weights(local)
    np.testing.assert_allclose(weights(out), expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.nightly
def test_a_fit_on_two_machines_survives_the_end_of_an_actor_a_machine_and_the_build(
    tiny: Any, inside: list[str], tmp_path: Path
) -> None:
    """Two nodes of Ray in one network namespace; the program itself is `fit_on_two_nodes.py`."""
    local = tmp_path / "local"
    ray_runs.result(ray_runs.started(ray_runs.arguments(tiny, tiny.photos, local), []))
    expected = weights(local)
    program = [sys.executable, str(Path(__file__).with_name("fit_on_two_nodes.py"))]
    given = [str(tiny.encoder), str(tiny.teacher), str(tiny.words), str(tiny.photos), str(tmp_path)]
    told = ray_runs.result(ray_runs.started([*program, *given], inside), 900)
    assert set(told["listening"]) <= ray_runs.LOOPBACK
    assert told["unfinished when the build ended"]
    for name in ("whole", "actor", "node", "driver"):
        assert certified(told[name], told[name]["images"] - told[name]["validation"]), name
        found = weights(tmp_path / name)
        np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max(), err_msg=name)


@pytest.mark.nightly
def test_two_machines_one_of_which_ends_and_a_build_that_is_killed(
    tiny: Any, photos: Path, single: dict[str, str], inside: list[str], tmp_path: Path
) -> None:
    """Two nodes of Ray in one network namespace; the program itself is `two_nodes.py`."""
    program = [sys.executable, str(Path(__file__).with_name("two_nodes.py"))]
    given = [str(tiny.encoder), str(tiny.teacher), str(tiny.words), str(photos), str(tmp_path)]
    told = ray_runs.result(ray_runs.started([*program, *given], inside), 900)
    assert set(told["listening"]) <= ray_runs.LOOPBACK
    assert told["shards when the node ended"] < SHARDS
    assert 0 < told["shards when the build ended"] < SHARDS
    for name in ("whole", "node", "build"):
        assert arrays(tmp_path / name) == single, name
