"""Processors and memory available to this process, within the limits of containers."""

from pathlib import Path

from inficond.core.processors import available_processors as available_cores

__all__ = ["available_cores", "available_memory", "peak_memory"]


def available_memory() -> int | None:
    """Return the bytes that this process can still allocate, or None if the system does not report it."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    except OSError:
        pass
    for limit, used in (("memory.max", "memory.current"),):
        try:
            root = Path("/sys/fs/cgroup")
            limits.append(int((root / limit).read_text()) - int((root / used).read_text()))
        except (OSError, ValueError):
            pass
    return min(limits) if limits else None


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes, or None if the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
