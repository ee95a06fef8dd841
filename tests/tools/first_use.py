"""First use, measured: `python -m tests.tools.first_use PHOTOS`.

It does what a new user does with the lines of the README, in a fresh clone, with an empty home and a new
virtual environment: (a) the demo, (b) the first student of an own folder of photographs, (c) the first
correction on the page, (d) the student as a page in a browser. Chromium takes the steps of the page. Each
step prints its time and the processor time of the commands in it, without Chromium's; `--json FILE` writes
the times and what was seen, and `--keep DIR` keeps the clone and pictures of the pages.
`docs/first-use.md` has the figures.
"""

import argparse
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from tests.browser.page import FLAGS, wait_until_drawn

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+\S*")
INDEX = ("PIP_", "SSL_CERT", "HTTPS_PROXY", "https_proxy")
"""Beginnings of the variables that say how packages are fetched."""


@dataclass
class Trial:
    """A new user's folder, environment and times.

    Parameters
    ----------
    folder : Path
        Empty; the clone and the home are made in it.
    """

    folder: Path
    steps: list[dict[str, Any]] = field(default_factory=list)
    session: int | None = None
    """Session of the processes of the server that runs, if one does."""

    @property
    def clone(self) -> Path:
        """The clone of the repository."""
        return self.folder / "clone"

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a new account: an empty home, the environment's programs first."""
        kept = {name: value for name, value in os.environ.items() if name.startswith(INDEX)}
        path = f"{self.clone}/.venv/bin:/usr/bin:/bin"
        return kept | {"HOME": str(self.folder / "home"), "PATH": path, "LANG": "C.UTF-8"}

    def run(self, command: str) -> str:
        """Run a line as a shell does; return its output."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.clone if self.clone.exists() else self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{command}\n{done.stdout[-3000:]}")
        return done.stdout

    @contextmanager
    def step(self, letter: str, what: str) -> Iterator[dict[str, Any]]:
        """Time a step; the block may add what was seen."""
        seen: dict[str, Any] = {"part": letter, "step": what}
        began, used = time.monotonic(), self.processor_seconds()
        yield seen
        seen["seconds"] = round(time.monotonic() - began, 1)
        seen["processor"] = round(self.processor_seconds() - used, 1)
        self.steps.append(seen)
        print(f"{letter}  {seen['seconds']:7.1f} s  {seen['processor']:7.1f} s  {what}", flush=True)

    def processor_seconds(self) -> float:
        """Return the processor time of the commands so far: those that ended, and the server that runs."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = ended.ru_utime + ended.ru_stime
        for stat in Path("/proc").glob("[0-9]*/stat") if self.session else ():
            with suppress(OSError):
                fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                if int(fields[3]) == self.session:
                    total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        return total

    def timed(self, letter: str, command: str, last: int = 0) -> None:
        """Run a line as a step, and keep the last lines of its output."""
        with self.step(letter, command) as seen:
            lines = self.run(command).strip().split("\n")
            seen["output"] = lines[-last:] if last else []

    @contextmanager
    def server(self, command: str) -> Iterator[str]:
        """Start a command that serves a page; yield its address."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self.clone, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        self.session = process.pid
        try:
            said = ""
            for line in process.stdout:
                said += line
                if found := ADDRESS.search(line):
                    yield found[0]
                    break
            else:
                raise SystemExit(f"{command}\n{said[-3000:]}")
        finally:
            os.killpg(process.pid, 15)
            process.wait(60)
            self.session = None


def free_port() -> int:
    """Return a port of loopback that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_page(browser: Browser, url: str) -> Page:
    """Open a page as somebody who has never been there."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.goto(url)
    wait_until_drawn(page)
    return page


def correct(page: Page, folder: Path) -> dict[str, Any]:
    """Take the first suggestion for the class that is shown first; return what the page says about it."""
    page.screenshot(path=folder / "page.png")
    if page.locator(".inf-guide").count():
        page.get_by_role("button", name="Skip the guide").click()
    name = page.locator('#view-performance [data-class][aria-selected="true"]').get_attribute("data-class")
    page.wait_for_selector("#view-tuning [data-suggestion]")
    page.locator("#view-tuning [data-suggestion]").first.click()
    page.wait_for_selector("#view-tuning .change")
    page.get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_selector("#view-provenance [data-node] >> nth=1")
    page.wait_for_function("() => window.inficond.store.state.pending.length === 0")
    page.screenshot(path=folder / "corrected.png")
    said = page.locator('#view-provenance [aria-current="true"]').inner_text()
    return {"class": name, "step_taken": " ".join(said.split()), "clicks": 3}


def answer(browser: Browser, student: Path, photo: Path) -> dict[str, Any]:
    """Open the page of a student as a file, drop a photograph on it, and return its highest probability."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(student.as_uri())
    page.set_input_files("#file", photo)
    page.wait_for_selector("body[data-answered='1']", state="attached")
    first = page.evaluate(
        "() => [...document.querySelectorAll('.class')].map((b) => [Number(b.dataset.probability), "
        "b.innerText.replace(/\\s+/g, ' ')]).sort((a, b) => b[0] - a[0])[0]"
    )
    page.screenshot(path=student.with_suffix(".png"), full_page=True)
    context.close()
    return {"photo": photo.name, "highest": first[1], "megabytes": round(student.stat().st_size / 1e6, 1)}


def try_it(photos: Path, trial: Trial, browser: Browser) -> None:
    """Take all steps."""
    (trial.folder / "home").mkdir()
    with trial.step("a", "git clone"):
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(trial.clone)], check=True)
    (trial.clone / "photos").symlink_to(photos)
    with trial.step("a", "make demo: install, prepare, page drawn in the browser"):
        served = ExitStack()
        url = served.enter_context(trial.server(f"make demo ARGS='--no-browser --port {free_port()}'"))
        page = new_page(browser, url)
        page.screenshot(path=trial.folder / "demo.png")
        page.context.close()
    served.close()
    with (
        trial.step("a", "inficond demo, second start: page drawn in the browser"),
        trial.server(f"inficond demo --no-browser --port {free_port()}") as url,
    ):
        new_page(browser, url).context.close()
    trial.timed("b", "inficond distill photos --out mine", last=8)
    trial.timed("b", "inficond report mine --html report.html", last=4)
    with trial.step("c", "inficond launch mine: page drawn in the browser"):
        url = served.enter_context(trial.server(f"inficond launch mine --no-browser --port {free_port()}"))
        page = new_page(browser, url)
    with trial.step("c", "first suggestion: preview and apply") as seen:
        seen |= correct(page, trial.folder)
    page.context.close()
    served.close()
    with trial.step("c", "inficond history mine") as seen:
        seen["output"] = trial.run("inficond history mine").strip().split("\n")[-2:]
    trial.timed("d", "inficond export page mine --out student.html", last=3)
    with trial.step("d", "student.html in the browser: first answer") as seen:
        photo = next(path for path in sorted(photos.rglob("*.jpg")))
        seen |= answer(browser, trial.clone / "student.html", photo)


def main() -> int:
    """Run the trial in a temporary folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("photos", type=Path, help="a folder of photographs, with one folder per class")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the steps to this file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="use this new folder and keep it")
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True)
    folder = (args.keep or Path(tempfile.mkdtemp(prefix="first-use-"))).resolve()
    trial = Trial(folder)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            try_it(args.photos.resolve(), trial, browser)
            browser.close()
    finally:
        if args.json:
            args.json.write_text(json.dumps(trial.steps, indent=1, ensure_ascii=False) + "\n")
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    for letter in "abcd":
        total = sum(s["seconds"] for s in trial.steps if s["part"] == letter)
        print(f"{letter}: {total / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
