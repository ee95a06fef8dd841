"""Program: builds on two nodes of Ray that are one machine; prints what happened as JSON.

Run in a network namespace: `two_nodes.py ENCODER TEACHER WORDS PHOTOS OUT`.
"""

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]
from tests.cluster import ray_runs

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Build three times: undisturbed, with a node that ends, and with a build that is killed and repeated."""
    encoder, teacher, words, photos, out = map(Path, sys.argv[1:])
    models = SimpleNamespace(encoder=encoder, teacher=teacher, words=words)
    node: dict[str, Any] = {"num_cpus": 1, "node_ip_address": LOOPBACK, "object_store_memory": 128 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = cluster.add_node(**node)
    told: dict[str, Any] = {}

    def begun(name: str) -> Any:
        options = (
            "--engine",
            "ray",
            "--workers",
            1,
            "--address",
            cluster.address,
            "--store",
            out / f"{name}.s",
        )
        return ray_runs.started(ray_runs.arguments(models, photos, out / name, *options), [])

    def made(name: str) -> int:
        return len(ray_runs.shards(out / f"{name}.s"))

    try:
        start = time.monotonic()
        run = begun("whole")
        ray_runs.wait_for(lambda: made("whole"), run)
        told["listening"] = ray_runs.listening(os.getpid())
        ray_runs.result(run)
        told["seconds"] = round(time.monotonic() - start, 1)
        run = begun("build")
        ray_runs.wait_for(lambda: made("build"), run)
        run.kill()
        run.communicate()
        told["shards when the build ended"] = made("build")
        ray_runs.result(begun("build"))
        run = begun("node")
        ray_runs.wait_for(lambda: made("node"), run)
        cluster.remove_node(second, allow_graceful=False)
        told["shards when the node ended"] = made("node")
        ray_runs.result(run)
    finally:
        cluster.shutdown()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
