"""Files under a temporary name: written beside their place, cleared away where their writer was killed."""

import glob
import os
from pathlib import Path


def temporary_name(path: Path, kind: str = "part") -> Path:
    """Where to write what is to become `path`; what killed processes left there for it is removed first.

    Parameters
    ----------
    path : Path
        The final place.
    kind : str
        Suffix of the temporary name, which also holds this process's number.

    Returns
    -------
    Path
        In the same folder, so that a rename is atomic.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.{kind}"):
        writer = left.name.removesuffix(f".{kind}").rpartition(".")[2]
        if writer.isdigit() and not lives(int(writer)):
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}")


def lives(process: int) -> bool:
    """Whether a process of this number runs on this machine; where that cannot be told, it counts as one."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
