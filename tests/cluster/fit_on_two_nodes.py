"""Program: builds on two nodes of Ray whose fits are disturbed; prints what happened as JSON.

Run in a network namespace: `fit_on_two_nodes.py ENCODER TEACHER WORDS PHOTOS OUT`.
"""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]
from tests.cluster import ray_runs

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Build undisturbed, then with an actor, a node and the build itself ended between two passes."""
    encoder, teacher, words, photos, out = map(Path, sys.argv[1:])
    models = SimpleNamespace(encoder=encoder, teacher=teacher, words=words)
    node: dict[str, Any] = {"num_cpus": 1, "node_ip_address": LOOPBACK, "object_store_memory": 128 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = cluster.add_node(**node)
    told: dict[str, Any] = {}

    def begun(name: str, kind: str) -> Any:
        options = ("--engine", "ray", "--workers", 1, "--address", cluster.address, "--store", out / "store")
        command = ray_runs.arguments(models, photos, out / name, *options, "--fit-memory", 0)
        if not kind:
            return ray_runs.started(command, [])
        driver = [sys.executable, str(Path(__file__).with_name("fit_driver.py")), kind]
        return ray_runs.started([*driver, str(os.getpid()), str(out), *command[3:]], [])

    try:
        told["whole"] = ray_runs.result(begun("whole", ""))
        told["listening"] = ray_runs.listening(os.getpid())
        told["actor"] = ray_runs.result(begun("actor", "actor"))
        run = begun("driver", "driver")
        run.communicate(timeout=300)
        told["unfinished when the build ended"] = not (out / "driver" / "project.json").exists()
        told["driver"] = ray_runs.result(begun("driver", ""))
        run = begun("node", "node")
        ray_runs.wait_for((out / "node.reached").exists, run)
        cluster.remove_node(second, allow_graceful=False)
        (out / "done").touch()
        told["node"] = ray_runs.result(run)
    finally:
        cluster.shutdown()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
