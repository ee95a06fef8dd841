# ruff: noqa: E501  (sentences of the page are kept on their lines)
"""Measurements for docs/reliability.md: attacks, fuzzing, kills, changed bytes and load.

    python -m tests.tools.reliability [--only fuzz,kills,flips,load,…] [--quick]

Each part is written to build/reliability/PART.json with its date, commit and machine, so that parts can be
measured separately. Rows, notes and sections of parts without such a file are taken from the present document.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "reliability"
PAGE = ROOT / "docs" / "reliability.md"


def kills(quick: bool) -> dict[str, Any]:
    """Kill processes of every writing command."""
    from tests.faults import sample

    found: dict[str, Any] = {"kinds": {}, "killed": 0, "ended_before": 0, "reported": 0, "faults": []}
    shards = [(12, 1)] if quick else [(112, 1), (112, 2)]
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "tests.faults.kills"]
        running = [
            subprocess.Popen(
                [*command, str(n), str(Path(scratch) / str(seed)), str(seed)],
                stdout=subprocess.PIPE,
                text=True,
                env=sample.environment(),
            )
            for n, seed in shards
        ]
        for process in running:
            output, _ = process.communicate()
            if process.returncode:
                raise SystemExit("the kills could not be measured")
            for line in output.splitlines():
                kill = json.loads(line)
                found["killed" if kill["killed"] else "ended_before"] += 1
                if kill["killed"]:
                    kinds = found["kinds"]
                    kinds[kill["kind"]] = kinds.get(kill["kind"], 0) + 1
                found["reported"] += kill["reported"]
                found["faults"] += [f"{kill['kind']} at {kill['at']} s: {f}" for f in kill["faults"]]
    return found


def signals(quick: bool) -> dict[str, Any]:
    """End a page by signals at random moments while visitors take steps."""
    from tests.conftest import write_small_project
    from tests.faults.signals import kills as end_page

    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "project"
        write_small_project(project)
        found = list(end_page(project, 10 if quick else 200, seed=11))
    kinds: dict[str, int] = {}
    for kill in found:
        kinds[kill["signal"]] = kinds.get(kill["signal"], 0) + 1
    return {
        "kills": len(found), "kinds": kinds, "steps": sum(k["steps"] for k in found),
        "faults": [f"{k['signal']} at {k['at']} s: {f}" for k in found for f in k["faults"]],
    }  # fmt: skip


def flips(quick: bool) -> dict[str, Any]:
    """Change single bytes of every file, half of them in a project whose last writer was killed."""
    from tests.faults import flips as flipping
    from tests.faults import sample

    tables: dict[str, dict[str, int]] = {}
    bad = []
    for killed, count in ((False, 60 if quick else 1500), (True, 30 if quick else 1500)):
        with tempfile.TemporaryDirectory() as scratch:
            made = sample.make(Path(scratch) / "all", killed=killed)
            for flip in flipping.run(made, count, seed=int(killed)):
                kind = tables.setdefault(flip.kind, {})
                kind[flip.outcome] = kind.get(flip.outcome, 0) + 1
                if flip.outcome not in (flipping.DETECTED, flipping.HARMLESS):
                    bad.append(vars(flip))
    total = {o: sum(k.get(o, 0) for k in tables.values()) for o in ("detected", "harmless", "wrong", "crash",
                                                                     "unnamed")}  # fmt: skip
    return {"files": tables, "flips": sum(total.values()), **total, "bad": bad}


def load(quick: bool) -> dict[str, Any]:
    """Run many visitors, one in a hundred hostile; then a few beside one that sends many requests at a time."""
    from tests.faults import hostile as attackers

    from inficond.gradio_app.bench.load_scenarios import Mix
    from inficond.gradio_app.bench.page_process import page_process
    from inficond.gradio_app.bench.visitors import copy_without_history, visit

    mixed = Mix(
        {"switch class": 6, "toggle subset": 2, "open image": 3, "drag": 3, "tune": 3, "undo": 1, "redo": 0.5,
         "export": 0.2, "upload": 1},
        (3.0, 12.0),
    )  # fmt: skip
    visitors, seconds = (5, 10.0) if quick else (100, 600.0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = copy_without_history(None, Path(scratch))
        log = Path(scratch) / "log"
        with (
            page_process(folder, log=log) as page,
            attackers.visitor(page.url, max(1, visitors // 100)) as hostile,
        ):
            found = visit(page.url, page.pid, folder, mixed, visitors, seconds)
            found["health"] = attackers.health(page.url)
        found["hostile"] = hostile.counts()
        (BUILD / "load.log").write_text(log.read_text(errors="replace"))
        found["tracebacks"] = log.read_text(errors="replace").count("Traceback")
        found["fair"] = {}
        few, shorter = (2, 6.0) if quick else (8, 60.0)
        for name in ("alone", "beside a heavy one"):
            with page_process(folder) as page:
                if name == "alone":
                    fair = visit(page.url, page.pid, folder, mixed, few, shorter)
                    heavy = None
                else:
                    with attackers.heavy(page.url) as requests:
                        fair = visit(page.url, page.pid, folder, mixed, few, shorter)
                    heavy = requests.counts()
            found["fair"][name] = {
                "p95": {k: w["p95"] for k, w in fair["waits"].items()},
                "p50": {k: w["p50"] for k, w in fair["waits"].items()},
                "errors": fair["errors"], "wrong": fair["wrong"], "heavy": heavy,
            }  # fmt: skip
    return found


def hostile(quick: bool) -> dict[str, Any]:
    """Send a few honest visitors beside 60 hostile ones, who overload the page in every known way."""
    from tests.faults.crowd import crowd
    from tests.faults.hostile import health

    from inficond.gradio_app.bench.load_scenarios import Mix
    from inficond.gradio_app.bench.page_client import PageClient
    from inficond.gradio_app.bench.page_process import page_process
    from inficond.gradio_app.bench.visitors import copy_without_history, visit

    mixed = Mix(
        {"switch class": 6, "open image": 3, "drag": 3, "tune": 3, "undo": 1, "upload": 0.5}, (1.0, 4.0)
    )
    honest, count = 6, 60
    seconds = float(os.environ.get("INFICOND_HOSTILE_SECONDS", 60.0 if quick else 600.0))
    with tempfile.TemporaryDirectory() as scratch:
        folder, log = copy_without_history(None, Path(scratch)), Path(scratch) / "log"
        with page_process(folder, log=log) as page:
            witnesses = [_witness(PageClient(page.url), i) for i in range(20)]
            with crowd(page.url, count) as attackers:
                found = visit(page.url, page.pid, folder, mixed, honest, seconds)
                found["health"] = health(page.url)
            found["lost"] = sum(not _kept(PageClient(page.url), *witness) for witness in witnesses)
        found["hostile"] = attackers.counts()
        found["tracebacks"] = log.read_text(errors="replace").count("Traceback")
        (BUILD / "hostile.log").write_text(log.read_text(errors="replace"))
    found["witnesses"] = len(witnesses)
    found["load_average"] = os.getloadavg()[0]
    return found


def _witness(client: Any, i: int) -> tuple[str, str]:
    """Begin a visit with one step; return its token and the node of the step."""
    hello = client.call("hello", {"selection": {}})
    concept = hello["parts"]["influence.rows"]["rows"][i % 5]["name"]
    action = {"kind": "set", "concept": concept, "value": 0.01 * i}
    request = {"token": hello["token"], "cls": hello["selection"]["cls"], "actions": [action]}
    return hello["token"], client.call("apply", {**request, "selection": {}, "parts": []})["node"]


def _kept(client: Any, token: str, node: str) -> bool:
    """Return whether a visit is still at its step."""
    answer = client.call("read", {"token": token, "selection": {}, "parts": ["provenance.tree"]})
    return answer["token"] == token and answer["parts"]["provenance.tree"]["current"] == node


def attacks(quick: bool) -> dict[str, Any]:
    """Run the tests of known attacks; a test passes if its attack fails."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not nightly", f"--junitxml={report}"]
        subprocess.run([*command, str(ROOT / "tests" / "attacks")], cwd=ROOT, capture_output=True)
        if not report.exists():
            raise SystemExit("the tests of attacks did not run")
        suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    count = {k: int(suite.get(k, "0")) for k in ("tests", "failures", "errors", "skipped")}
    tried = count["tests"] - count["skipped"]
    return {"tried": tried, "stopped": tried - count["failures"] - count["errors"], **count}


def fuzz(quick: bool) -> dict[str, Any]:
    """Run every parser on new inputs, and sessions under new sequences of steps."""
    cases = int(os.environ.get("INFICOND_FUZZ_CASES", 2_000 if quick else 100_000))
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "nightly", str(ROOT / "tests" / "fuzz")]
        known = {**os.environ, "INFICOND_FUZZ_REPORT": str(report), "INFICOND_FUZZ_CASES": str(cases)}
        done = subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True)
        if not report.exists():
            raise SystemExit(f"the fuzz tests did not run: {done.stdout[-500:]}{done.stderr[-500:]}")
        tallies = json.loads(report.read_text())
    sessions = [t for t in tallies if t["steps"]]
    parsers = [t for t in tallies if not t["steps"]]
    return {
        "cases": sum(t["cases"] for t in parsers),
        "accepted": sum(t["accepted"] for t in parsers),
        "sessions": sum(t["cases"] for t in sessions),
        "steps": sum(t["steps"] for t in sessions),
        "parsers": tallies,
        "bugs": [f"{t['name']}: {bug}" for t in tallies for bug in t["bugs"]],
        "failed": done.returncode != 0,
    }


PARTS = {
    "attacks": attacks, "fuzz": fuzz, "kills": kills, "signals": signals, "flips": flips, "load": load,
    "hostile": hostile,
}  # fmt: skip
ROWS = {
    "attacks": "| known attacks",
    "fuzz": "| fuzzing",
    "kills": "| SIGKILL",
    "flips": "| one changed byte",
    "load": "| load |",
    "signals": "| signals",
    "hostile": "| 60 hostile",
}
"""First characters of the row of each part."""
TITLES = {
    "fuzz": "## Fuzzing", "kills": "## Kills", "flips": "## Changed bytes", "load": "## Load",
    "hostile": "## Hostile visitors",
}  # fmt: skip
"""First line of the section of each part that has one."""


def measure(name: str, quick: bool) -> None:
    """Measure a part and write it with date, commit and machine."""
    began, date = time.monotonic(), datetime.now(UTC)
    commit = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True
    )
    BUILD.mkdir(parents=True, exist_ok=True)
    whole = {
        "date": date.isoformat(timespec="minutes"),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
                   f"{platform.python_version()}",
        "quick": quick,
        **PARTS[name](quick),
    }  # fmt: skip
    whole["seconds"] = round(time.monotonic() - began)
    (BUILD / f"{name}.json").write_text(json.dumps(whole, indent=1, default=str))


def page(parts: dict[str, dict[str, Any]], before: str = "") -> str:
    """Return the text of the document.

    Parameters
    ----------
    parts : dict
        Results of the measured parts.
    before : str
        The present document, whose parts are kept where they are not measured.
    """
    rest = [name for name in ROWS if name not in parts]
    lines = [
        "# Reliability",
        "",
        "Written by `make reliability`; every number is from a run. `python -m tests.tools.reliability --only kills`",
        "measures one part and keeps the others. Guarantees are in [SECURITY.md](../SECURITY.md).",
        "",
        "| test | extent | result | run |",
        "|---|---|---|---|",
    ]
    rows = {
        "attacks": _attacks, "fuzz": _fuzz, "kills": _kills, "signals": _signals, "flips": _flips, "load": _load,
        "hostile": _hostile,
    }  # fmt: skip
    for name, row in rows.items():
        found = parts.get(name)
        old = [x for x in before.splitlines() if x.startswith(ROWS[name])]
        if found is None and old:
            lines += old
            continue
        if found is None:
            lines.append(f"| {name} | – | not measured yet | – |")
            continue
        for what, tried, result in row(found):
            lines.append(f"| {what} | {tried} | {result} | {_when(found)} |")
    lines += [f"\n{name}: {p['note']}" for name, p in parts.items() if p.get("note")]
    lines += [f"\n{note}" for name in rest for note in _notes(before, name)]
    sections = {
        "fuzz": _fuzz_more, "kills": _kills_more, "flips": _flips_more, "load": _load_more,
        "hostile": _hostile_more,
    }  # fmt: skip
    for name, more in sections.items():
        if name in parts:
            lines += ["", *more(parts[name])]
        elif section := _section(before, TITLES[name]):
            lines += ["", section]
    lines += ["", "## Machines", ""]
    machines = {f"- {p['machine']}" for p in parts.values() if p.get("machine")}
    lines += sorted(
        machines | {x for x in _section(before, "## Machines").splitlines() if x.startswith("- ")}
    )
    return "\n".join(lines) + "\n"


def _section(document: str, title: str) -> str:
    """Return a section with its title, or an empty text."""
    found = re.search(rf"^{re.escape(title)}\n.*?(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    return found[0].rstrip() if found else ""


def _notes(document: str, name: str) -> list[str]:
    """Return the notes about a part: paragraphs before the first section that begin with its name."""
    paragraphs = document.partition("\n## ")[0].split("\n\n")
    return [p.strip() for p in paragraphs if re.match(rf"(60 )?{name}\b[^|\n]*:", p.strip())]


def _when(found: dict[str, Any]) -> str:
    quick = ", short version" if found.get("quick") else ""
    return f"{str(found.get('date', '?'))[:10]}, `{found.get('commit', '?')}`{quick}"


def _attacks(a: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        ("known attacks (`tests/attacks`)", f"{a['tried']} tests", f"{a['stopped']} pass: the attack fails")
    ]


def _fuzz(f: dict[str, Any]) -> list[tuple[str, str, str]]:
    readers = sum(1 for t in f["parsers"] if not t["steps"])
    tried = f"{f['cases']:,} inputs to {readers} parsers, {f['steps']:,} steps of {f['sessions']:,} pairs of sessions"
    bugs = len(f["bugs"]) or ("the tests failed" if f["failed"] else 0)
    return [
        (
            "fuzzing (`tests/fuzz`)",
            tried,
            f"{f['accepted']:,} accepted, all others rejected with one line; {bugs} bugs",
        )
    ]


def _fuzz_more(f: dict[str, Any]) -> list[str]:
    out = [
        "## Fuzzing",
        "",
        "Inputs are nearly valid, and new in every run. A parser must return a valid result, or reject the input with one",
        "line that names it. Another exception, a hang, more than 2 GiB of memory or a file outside its folder is a bug.",
        "Sessions are compared with a simple model. Inputs that found a bug are stored in `tests/fuzz/cases`.",
        "",
        "| parser or session | cases | accepted | steps | s |",
        "|---|---|---|---|---|",
    ]
    for t in sorted(f["parsers"], key=lambda t: (t["steps"], t["name"])):
        steps, read = (f"{t['steps']:,}", "") if t["steps"] else ("", f"{t['accepted']:,}")
        out.append(f"| {t['name']} | {t['cases']:,} | {read} | {steps} | {t['seconds']:.0f} |")
    return out + [f"- {bug}" for bug in f["bugs"]]


def _kills(k: dict[str, Any]) -> list[tuple[str, str, str]]:
    lost = len(k["faults"])
    return [("SIGKILL at a random moment", f"{k['killed']} kills of {len(k['kinds'])} commands",
             f"{k['killed'] - lost if lost else 'all'} survived with nothing lost; {lost} faults")]  # fmt: skip


def _signals(k: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [("signals to a page at random moments", f"{k['kills']} kills by {', '.join(sorted(k['kinds']))}",
             f"{k['steps']:,} steps of 3 visitors; {len(k['faults'])} faults: at most the step under way was lost")]  # fmt: skip


def _hostile(m: dict[str, Any]) -> list[tuple[str, str, str]]:
    worst = max(w["p95"] for w in m["waits"].values())
    switch = m["waits"].get("class switch")  # a short run may have none
    part = f"class switch {switch['p95']:.0f}, " if switch else ""
    return [(f"{m['hostile']['at_once']} hostile visitors beside {m['visitors']} honest ones",
             f"{m['seconds'] / 60:.1f} min, {m['hostile']['requests']:,} hostile requests",
             f"memory {m['memory']['most']:.0f} MB at most; honest p95 {m['p95']:.0f} ms ({part}"
             f"slowest kind {worst:.0f}); {m['wrong']} wrong of {m['checked']:,}, "
             f"{m['lost']} of {m['witnesses']} steps lost, {m['hostile']['faults']} faults of the server")]  # fmt: skip


def _hostile_more(m: dict[str, Any]) -> list[str]:
    return [
        "## Hostile visitors",
        "",
        "Each hostile visitor connects from an address of its own and sends one attack after another: long and nested",
        "bodies, form fields, pictures of 63 million pixels, new visits, steps, exports, searches, API calls and held",
        f"connections. Page, honest and hostile visitors share the machine (load average {m['load_average']:.0f} at the",
        f"end). `/health` at the end: {m['health']}; {m['tracebacks']} tracebacks in the log.",
        "",
        "| honest action | n | p50 ms | p95 ms | p99 ms |",
        "|---|---|---|---|---|",
        *(
            f"| {k} | {w['n']} | {w['p50']:.0f} | {w['p95']:.0f} | {w['p99']:.0f} |"
            for k, w in m["waits"].items()
        ),
        *(f"- {n} × {line}" for line, n in m["problems"].items()),
    ]


def _flips(f: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [("one changed byte", f"{f['flips']:,} changes in {len(f['files'])} kinds of file",
             f"{f['detected']:,} detected, {f['harmless']:,} harmless, {f['wrong']} undetected, "
             f"{f['crash'] + f['unnamed']} with an unclear error")]  # fmt: skip


def _load(m: dict[str, Any]) -> list[tuple[str, str, str]]:
    memory = m["memory"]
    switch = m["waits"].get("class switch") or next(iter(m["waits"].values()))
    return [("load", f"{m['visitors']} visitors, {m['seconds'] / 60:.1f} min, {m['requests']:,} requests, "
             f"{m['hostile']['requests']:,} hostile",
             f"{m['wrong']} wrong of {m['checked']:,} responses checked, {m['errors']} errors, class switch p95 "
             f"{switch['p95']:.0f} ms, memory {memory['slope_per_minute']:+.1f} MB per minute")]  # fmt: skip


def _kills_more(k: dict[str, Any]) -> list[str]:
    out = [
        "## Kills",
        "",
        "A process is killed at a random moment within 1.1 times the duration of an undisturbed run. Afterwards the project",
        "and its history must open without damage, and contain every step that the process had reported. The command is run",
        "again; its result must equal that of an undisturbed run to the bit, without leftover files.",
        f"{k['ended_before']} more runs had ended before their kill; {k['reported']} steps had been reported.",
        "",
        "| command | kills |",
        "|---|---|",
        *(f"| {kind} | {n} |" for kind, n in k["kinds"].items()),
    ]
    return out + [f"- {fault}" for fault in k["faults"]]


def _flips_more(f: dict[str, Any]) -> list[str]:
    return [
        "## Changed bytes",
        "",
        "One byte of one file is XORed with a random number; everything that depends on the file is read and compared with",
        "the reference. Detected: an error names the file and a remedy. Harmless: all results are the same (free pages of",
        "SQLite, times in a zip). Half of the projects were left by a killed writer, with steps in SQLite's log only.",
        "",
        "| kind | detected | harmless | undetected | unclear error |",
        "|---|---|---|---|---|",
        *(
            f"| {kind} | {n.get('detected', 0)} | {n.get('harmless', 0)} | {n.get('wrong', 0)} | "
            f"{n.get('crash', 0) + n.get('unnamed', 0)} |"
            for kind, n in sorted(f["files"].items())
        ),
    ]


def _load_more(m: dict[str, Any]) -> list[str]:
    memory, h = m["memory"], m["hostile"]
    out = [
        "## Load",
        "",
        f"Page and load test share the machine. Memory {memory['start']:.0f} MB at the start, {memory['middle']:.0f} in the "
        f"middle, {memory['end']:.0f} at the end, {memory['most']:.0f} at most. Hostile requests: {h['refused']:,} rejected",
        f"with one line, {h['faults']} faults of the server. `/health` at the end: {m['health']}; "
        f"{m['tracebacks']} tracebacks in the log. {m['postponed']:,} searches were postponed and requested again.",
        "",
        "| action | n | p50 ms | p95 ms | p99 ms |",
        "|---|---|---|---|---|",
        *(
            f"| {k} | {w['n']} | {w['p50']:.0f} | {w['p95']:.0f} | {w['p99']:.0f} |"
            for k, w in m["waits"].items()
        ),
    ]
    out += [f"- {n} × {line}" for line, n in m["problems"].items()]
    fair = m.get("fair") or {}
    if len(fair) == 2:
        alone, beside = fair["alone"], fair["beside a heavy one"]
        heavy = beside["heavy"]
        out += [
            "",
            "Fair sharing: the same light visitors, without and beside a visitor that keeps "
            f"{heavy['at_once']} requests in flight ({heavy['requests']:,} sent, {heavy['refused']:,} rejected with one line).",
            "",
            "| action | p50, p95 alone, ms | p50, p95 beside, ms |",
            "|---|---|---|",
            *(
                f"| {k} | {alone['p50'][k]:.0f}, {alone['p95'][k]:.0f} | {beside['p50'][k]:.0f}, {beside['p95'][k]:.0f} |"
                for k in alone["p95"]
                if k in beside["p95"]
            ),
        ]
    return out


def main() -> None:
    """Measure the requested parts and write the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default=",".join(PARTS), help="parts to measure, with commas; `none` for none"
    )
    parser.add_argument("--quick", action="store_true", help="run a short version of each part")
    args = parser.parse_args()
    for name in [n for n in args.only.split(",") if n and n != "none"]:
        if name not in PARTS:
            raise SystemExit(f"unknown part {name!r}: choose from {', '.join(PARTS)}, or `none`")
        measure(name, args.quick)
    parts = {
        name: json.loads((BUILD / f"{name}.json").read_text())
        for name in PARTS
        if (BUILD / f"{name}.json").exists()
    }
    text = page(parts, PAGE.read_text(encoding="utf-8") if PAGE.exists() else "")
    print(text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
