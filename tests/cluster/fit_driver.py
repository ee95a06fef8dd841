"""Program: a command of `inficond` whose fit on Ray is disturbed between two passes.

`fit_driver.py KIND ROOT FOLDER COMMAND…`: at the fifth pass, KIND `actor` kills an actor below the process
ROOT, `node` waits until another process has written FOLDER/done, and `driver` kills this process.
FOLDER/KIND.reached is written before.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cluster.ray_runs import descendants

from inficond.cluster import distributed_fit, ray_engine
from inficond.core.cli.main import main

DISTURBED_AT = 5
kind, root, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
calls = 0


class DisturbedBlocks(distributed_fit.RayBlocks):
    """Blocks in actors, one of which ends before the fifth call."""

    def call(self, method: str, arguments: Any) -> list[Any]:
        """Disturb once, then call."""
        global calls
        calls += 1
        if calls == DISTURBED_AT:
            (folder / f"{kind}.reached").write_text(method)
            if kind == "actor":
                actors = [pid for pid, line in descendants(root) if line.startswith("ray::RowActor")]
                os.kill(actors[-1], signal.SIGKILL)
            elif kind == "driver":
                os.kill(os.getpid(), signal.SIGKILL)
            while kind == "node" and not (folder / "done").exists():
                time.sleep(0.05)
        return super().call(method, arguments)


if __name__ == "__main__":
    ray_engine.RayBlocks = DisturbedBlocks  # type: ignore[misc]
    sys.exit(main(sys.argv[4:]))
