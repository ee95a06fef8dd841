"""Runs commands in a network namespace with loopback only and a name server that logs every look-up.

Started as ``unshare --net --mount python offline_network.py PLAN REPORT``. PLAN is a JSON list of steps. Each
step has a `command`. A step with `urls` is a server: these URLs are requested (a POST with the bytes of the
file `body`, where given), then it is stopped with SIGINT. REPORT receives `lookups`, the names that were
looked up, and `steps`, with the exit code and output of each command.
"""

import fcntl
import json
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def bring_up_loopback() -> None:
    """Switch the interface `lo` on; a new namespace has it switched off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def question(packet: bytes) -> str:
    """Return the name that a DNS packet asks for."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii", "replace"))
        at += 1 + packet[at]
    return ".".join(labels)


def log_lookups(server: socket.socket, lookups: list[str]) -> None:
    """Answer every look-up with "no such name", and record the name."""
    while True:
        packet, sender = server.recvfrom(4096)
        lookups.append(question(packet))
        server.sendto(packet[:2] + b"\x81\x83" + packet[4:6] + bytes(6) + packet[12:], sender)


def request(url: str, body: bytes | None, process: "subprocess.Popen[str]") -> int:
    """Ask a starting server until it answers; return the HTTP status."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, body, timeout=60) as response:
                response.read()
                return response.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                return 0
            time.sleep(0.2)


def run(step: dict[str, Any]) -> dict[str, Any]:
    """Run one step."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(step["command"], stdout=output, stderr=subprocess.STDOUT, text=True)
        status = []
        if "urls" in step:
            body = Path(step["body"]).read_bytes() if step.get("body") else None
            status = [request(url, body, process) for url in step["urls"]]
            process.send_signal(signal.SIGINT)
        code = process.wait(240)
        output.seek(0)
        return {**step, "code": code, "status": status, "output": output.read()[-2000:]}


def main(plan: Path, report: Path) -> None:
    """Run the plan and write the report."""
    bring_up_loopback()
    resolver = report.with_suffix(".resolv.conf")
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
    lookups: list[str] = []
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=log_lookups, args=(server, lookups), daemon=True).start()
    steps = [run(step) for step in json.loads(plan.read_text())]
    report.write_text(json.dumps({"lookups": lookups, "steps": steps}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
