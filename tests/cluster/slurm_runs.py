"""A Slurm of one node, for one command, in namespaces of its own."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster.namespaces import ADDRESS, NETWORK

NODE = "node"
INSIDE = ["unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc", "sh", "-euc"]
DAEMONS = ("slurmctld", "slurmd")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={node}({address})
SlurmUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
NodeName={node} NodeAddr={address} CPUs={processors}
PartitionName=all Nodes=ALL Default=YES
"""
START = f"""\
hostname {NODE}; {NETWORK}
{" ".join(f"{name};" for name in DAEMONS)}
for i in $(seq 100); do sinfo --noheader | grep -q idle && break; sleep 0.2; done
exec "$@"
"""
"""The processes end with the command, which is the first of its namespace."""


def missing() -> str:
    """Return what this machine lacks for Slurm, or nothing."""
    if lacking := [name for name in (*DAEMONS, "sbatch", "unshare", "ip") if not shutil.which(name)]:
        return f"{', '.join(lacking)} not installed"
    tried = subprocess.run([*INSIDE, f"hostname {NODE}"], capture_output=True, text=True, check=False)
    return tried.stderr.strip()


def configure(folder: Path) -> dict[str, str]:
    """Write the configuration of a Slurm into a folder; return the variables that name it."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    text = CONFIGURATION.format(node=NODE, address=ADDRESS, folder=folder, processors=os.cpu_count())
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    return {"SLURM_CONF": str(folder / "slurm.conf")}


def prefix() -> list[str]:
    """Return the prefix that starts Slurm and runs a command in it."""
    return [*INSIDE, START, "sh"]
