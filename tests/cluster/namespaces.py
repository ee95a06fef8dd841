"""Prefixes that run a command in a network of its own, so that nothing it starts is heard outside."""

import shutil
import subprocess

ADDRESS = "10.0.0.5"
"""Address of the machine in the commands of the documents."""
NETWORK = f"ip link set lo up && ip address add {ADDRESS} dev lo"
INSIDE = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
"""Prefix that runs a command in a network namespace that has only the loopback device."""
RAY_CLUSTER = [
    "unshare", "-rnpf", "--mount-proc", "sh", "-c",
    f"{NETWORK} && ray start --head --node-ip-address {ADDRESS} "
    '--port 6379 --include-dashboard false --disable-usage-stats >&2 && "$@"', "sh",
]  # fmt: skip
"""Prefix that runs a command on the only machine of a Ray cluster, whose processes end with the command."""


def isolated() -> list[str]:
    """Return `INSIDE` where this machine allows it, else nothing."""
    able = shutil.which("unshare") and shutil.which("ip")
    return INSIDE if able and subprocess.run([*INSIDE, "true"], capture_output=True).returncode == 0 else []
