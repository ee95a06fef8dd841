"""The number of processors: affinity, CPU quotas of cgroups and `OMP_NUM_THREADS`."""

import os
from pathlib import Path

import pytest

from inficond.core import processors
from inficond.core.models.hardware import available_cores
from inficond.core.processors import available_processors, cpu_quota
from inficond.core.solver import threads


@pytest.fixture(autouse=True)
def many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend to be on a machine with 64 processors and without limits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(processors, "CGROUPS", Path("/nonexistent"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def quota(tmp_path: Path, files: dict[str, str], membership: str = "0::/") -> float | None:
    """Return the quota of a process in a made-up cgroup tree."""
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "self").write_text(membership)
    return cpu_quota(tmp_path / "cgroup", tmp_path / "self")


V1 = {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({"cpu.max": "100000 100000"}, "0::/", 1.0),
        ({"cpu.max": "max 100000"}, "0::/", None),
        ({"cpu.max": "max"}, "0::/", None),
        ({"cpu.max": "garbage here"}, "0::/", None),
        ({"cpu.max": "100000 0"}, "0::/", None),
        ({}, "0::/", None),
        # The limit of an ancestor holds for its descendants.
        ({"a.slice/cpu.max": "200000 100000", "a.slice/b/cpu.max": "max 100000"}, "0::/a.slice/b", 2.0),
        ({"a/cpu.max": "400000 100000", "a/b/cpu.max": "50000 100000"}, "0::/a/b", 0.5),
        ({"other/cpu.max": "100000 100000"}, "0::/a", None),
        # A container without cgroup namespace: the path of the host does not exist.
        ({"cpu.max": "300000 100000"}, "0::/docker/0123", 3.0),
        ({f"cpu/{name}": text for name, text in V1.items()}, "4:cpu,cpuacct:/", 1.5),
        ({f"cpu,cpuacct/pod/{name}": text for name, text in V1.items()}, "4:cpu,cpuacct:/pod", 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/", None),
    ],
)
def test_quotas_of_cgroups(
    tmp_path: Path, files: dict[str, str], membership: str, expected: float | None
) -> None:
    assert quota(tmp_path, files, membership) == expected


@pytest.mark.parametrize(("granted", "expected"), [(0.01, 1), (1.0, 1), (1.5, 2), (8.0, 8), (500.0, 64)])
def test_a_quota_is_rounded_up_within_the_affinity(
    monkeypatch: pytest.MonkeyPatch, granted: float, expected: int
) -> None:
    monkeypatch.setattr(processors, "cpu_quota", lambda root, membership: granted)
    assert available_processors() == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("3", 3), ("2,4", 2), ("999", 64), ("0", 64), ("many", 64), ("", 64), ("-1", 64)]
)
def test_omp_num_threads_lowers_the_count(monkeypatch: pytest.MonkeyPatch, value: str, expected: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert available_processors() == expected


def test_systems_without_affinity_count_all_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_processors() == 1


def test_all_packages_use_one_count() -> None:
    assert available_cores is available_processors
    assert threads.available is available_processors
