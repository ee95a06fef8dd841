"""A page that is ended by signals at random moments while visitors take steps through HTTP.

``python -m tests.faults.signals KILLS PROJECT [SEED]`` prints one JSON line for each kill. After each kill
the page starts again and each visit is resumed: at most the step that was under way may be missing.
"""

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.faults.page_launcher import Launcher

SIGNALS = ("SIGHUP", "SIGQUIT", "SIGTERM", "SIGINT", "SIGKILL")
MUTE = {"selection": {}, "parts": ["provenance.tree"]}


@dataclass
class Visit:
    """A visit that takes steps until the page ends.

    Parameters
    ----------
    token : str
    cls, concepts
        What the steps change.
    node : str
        The last step that the page acknowledged.
    steps : int
        Acknowledged steps.
    headers : dict
        With the owner key of the page.
    """

    token: str
    cls: str
    concepts: list[str]
    node: str
    steps: int = 0
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    under_way: bool = field(default=False, repr=False)

    def work(self, url: str, seed: int) -> None:
        """Take steps: mostly new ones, some undone and redone."""
        rng = random.Random(seed)
        with httpx.Client(base_url=url, timeout=30, headers=self.headers) as client:
            while True:
                value = rng.uniform(-0.5, 0.5)
                action = {"kind": "set", "concept": rng.choice(self.concepts), "value": value}
                name = rng.choice(["apply", "apply", "apply", "undo", "redo"])
                more = {"cls": self.cls, "actions": [action]} if name == "apply" else {}
                self.under_way = True
                try:
                    answer = client.post(f"/rpc/{name}", json={"token": self.token, **more, **MUTE}).json()
                except (httpx.HTTPError, ValueError):
                    return
                self.under_way = False
                if "node" in answer:
                    assert answer["token"] == self.token, "a step went to another visit"
                    self.node, self.steps = answer["node"], self.steps + 1

    def missing(self, client: httpx.Client, isolated: bool) -> str:
        """Resume the visit; return what is missing, empty if nothing is."""
        answer = client.post("/rpc/read", json={"token": self.token, **MUTE}).json()
        if answer.get("token") != self.token:
            if self.steps and isolated:
                return "the visit is lost"
            self.token = answer["token"]  # there is nothing to resume: no step, or the project's history
        tree = answer["parts"]["provenance.tree"]
        known, current = json.dumps(tree), tree["current"]
        if self.steps and f'"{self.node}"' not in known:
            return f"the step {self.node} is lost"
        if self.steps and current != self.node and not self.under_way:
            return f"the visit is at {current}, not at {self.node}"
        self.node = current
        return ""


def begin(client: httpx.Client) -> Visit:
    """Begin a visit."""
    hello = client.post("/rpc/hello", json={"selection": {}}).json()
    names = [row["name"] for row in hello["parts"]["influence.rows"]["rows"]][:10]
    node = client.post("/rpc/read", json={"token": hello["token"], **MUTE}).json()
    current = node["parts"]["provenance.tree"]["current"]
    return Visit(hello["token"], hello["selection"]["cls"], names, current)


@dataclass
class ForkedPage:
    """A page that the launcher started.

    Parameters
    ----------
    launcher : Launcher
    pid : int
    url : str
    headers : dict
        With the owner key.
    """

    launcher: Launcher
    pid: int
    url: str
    headers: dict[str, str]

    def end(self, number: int) -> int:
        """Send a signal; return the exit code."""
        os.kill(self.pid, number)
        return int(self.launcher.ask(wait=self.pid)["code"])


def start(launcher: Launcher, project: Path, scratch: Path, isolated: bool) -> ForkedPage:
    """Start `inficond launch` on a project; its temporary files lie in `scratch`."""
    pipe = scratch / "output"
    if not pipe.exists():
        os.mkfifo(pipe)
    argv = ["launch", str(project), "--no-browser", "--json", *(["--isolated"] if isolated else [])]
    pid = launcher.ask(start=argv, environment={"TMPDIR": str(scratch)}, output=str(pipe))["pid"]
    with open(pipe, encoding="utf-8") as output:
        url, _, fragment = json.loads(output.readline())["owner_url"].partition("#")
        key = fragment.removeprefix("owner=")
        return ForkedPage(launcher, pid, url.rstrip("/"), {"x-inficond-owner": key})


def kills(project: Path, count: int, seed: int = 0, isolated: bool = True) -> Iterator[dict[str, Any]]:
    """End a page `count` times; yield what each kill did.

    Parameters
    ----------
    project : Path
    count, seed : int
    isolated : bool
        Whether three visitors work on copies of their own, or one on the project's own history.
    """
    rng = random.Random(seed)
    visitors = 3 if isolated else 1
    visits: list[Visit] = []
    with tempfile.TemporaryDirectory() as scratch:
        launcher = Launcher()
        target = start(launcher, project, Path(scratch), isolated)
        for i in range(count):
            name = SIGNALS[i % len(SIGNALS)]
            with httpx.Client(base_url=target.url, timeout=60) as client:
                visits = visits[1 - visitors :] if i % 10 == 0 else visits
                while len(visits) < visitors:
                    visits.append(begin(client))
            for visit in visits:
                visit.headers = target.headers
            acknowledged = sum(v.steps for v in visits)
            threads = [
                threading.Thread(target=v.work, args=(target.url, rng.randrange(1 << 30)), daemon=True)
                for v in visits
            ]
            for thread in threads:
                thread.start()
            delay = rng.uniform(0.0, 1.0)
            time.sleep(delay)
            code = target.end(getattr(signal, name))
            for thread in threads:
                thread.join(60)
            left = [p.name for p in Path(scratch).iterdir() if p.name.startswith("inficond-page-")]
            faults = [] if name == "SIGKILL" or (code == 0 and not left) else [f"exit {code}, left {left}"]
            target = start(launcher, project, Path(scratch), isolated)
            if name == "SIGKILL":
                left = [p.name for p in Path(scratch).iterdir() if p.name.startswith("inficond-page-")]
                faults += ["the folder of the killed page is left"] if len(left) > 1 else []
            steps = sum(v.steps for v in visits) - acknowledged
            with httpx.Client(base_url=target.url, timeout=60) as client:
                under_way = sum(v.under_way for v in visits)
                faults += [text for v in visits if (text := v.missing(client, isolated))]
            yield {
                "signal": name,
                "at": round(delay, 2),
                "steps": steps,
                "under_way": under_way,
                "faults": faults,
            }
        target.end(signal.SIGTERM)
        launcher.close()


def main() -> None:
    """Print one line for each kill."""
    for kill in kills(Path(sys.argv[2]), int(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else 0):
        os.write(1, (json.dumps(kill) + "\n").encode())


if __name__ == "__main__":
    main()
