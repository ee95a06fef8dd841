"""Number of processors that this process may use, the only such count of the packages.

A leaf module of the standard library alone: every package may import it, the solver included.
"""

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available_processors() -> int:
    """Return the number of processors in the affinity mask, limited by CPU quota and `OMP_NUM_THREADS`.

    Returns
    -------
    int
        At least 1. A fractional quota is rounded up.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        count = os.cpu_count() or 1
    quota = cpu_quota(CGROUPS, MEMBERSHIP)
    if quota is not None:
        count = min(count, math.ceil(quota))
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isascii() and asked.isdigit() and int(asked) > 0:
        count = min(count, int(asked))
    return max(1, count)


@cache
def cpu_quota(root: Path, membership: Path) -> float | None:
    """Return the CPUs granted by the cgroup of this process and all its ancestors.

    Parameters
    ----------
    root : Path
        Mount point of the cgroup file systems; version 1 and 2 are recognized.
    membership : Path
        The file that lists the cgroups of this process.

    Returns
    -------
    float or None
        The smallest quota; None without a limit.
    """
    quotas = []
    for folder in _cgroup_folders(root, membership):
        for read in (_quota_v2, _quota_v1):
            try:
                quotas.append(read(folder))
            except (OSError, ValueError, ZeroDivisionError):  # missing, "max" or malformed: no limit here
                continue
    return min((quota for quota in quotas if quota > 0), default=None)


def _cgroup_folders(root: Path, membership: Path) -> Iterator[Path]:
    """Yield the folders of the process and their ancestors below each mount point.

    Without a cgroup namespace the listed path does not exist inside a container; the mount point itself is
    then the folder of the container.
    """
    try:
        lines = membership.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    paths = {line.split(":", 2)[2].strip("/") for line in lines if line.count(":") >= 2} | {""}
    for mount in (root, root / "unified", root / "cpu", root / "cpu,cpuacct"):
        for path in sorted(paths):
            folder = mount / path
            yield folder
            while folder != mount:
                folder = folder.parent
                yield folder


def _quota_v2(folder: Path) -> float:
    quota, period = (folder / "cpu.max").read_text().split()[:2]
    return int(quota) / int(period)


def _quota_v1(folder: Path) -> float:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    return quota / int((folder / "cpu.cfs_period_us").read_text())
