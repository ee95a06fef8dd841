"""Kills of every writing command at random moments, with checks of what is left and of a second run.

`python -m tests.faults.kills COUNT FOLDER SEED` prints one JSON object for each kill. One process loads the
libraries and forks the children, so that a kill takes a fraction of a second and hits the work itself.
"""

import contextlib
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults import sample

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.project import files

MANY = 12
WORDS = sample.WORDS
SPREAD = 1.1
"""Upper end of the time of a kill, relative to the duration of an undisturbed run."""


@dataclass
class Kill:
    """One kill.

    Parameters
    ----------
    kind : str
        Name of the command.
    at : float
        Seconds after the start.
    of : float
        Duration of an undisturbed run in seconds.
    killed : bool
        False if the run had ended before the kill.
    reported : int
        Number of steps that the run had printed before it was killed.
    left : str
        State after the kill: ``nothing``, ``unfinished``, ``whole``, ``n steps``.
    faults : list of str
        What was lost or wrong; empty without a fault.
    """

    kind: str
    at: float
    of: float
    killed: bool
    reported: int
    left: str
    faults: list[str]


def in_child(work: Callable[[], Any]) -> Any:
    """Run a function in a forked child and return its result; no thread, lock or file stays in the parent."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            answer = (True, work())
        except BaseException as error:
            answer = (False, f"{type(error).__name__}: {error}")
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    well, answer = pickle.loads(data) if data else (False, "the child died")
    if not well:
        raise RuntimeError(answer)
    return answer


def start(arguments: list[str] | Callable[[], None]) -> tuple[int, int]:
    """Run a command or a function in a forked child; return its process id and a descriptor of its stdout."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(write, 1)
        sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), write_through=True)
        code = 1
        with contextlib.suppress(BaseException):
            if callable(arguments):
                arguments()
                code = 0
            else:
                from inficond.core.cli.main import main

                code = main(arguments)
            sys.stdout.flush()
        os._exit(code)
    os.close(write)
    return child, read


def finish(child: int, read: int) -> tuple[int, str]:
    """Wait for a child; return its status and its output."""
    with os.fdopen(read, encoding="utf-8", errors="replace") as pipe:
        output = pipe.read()
    _, status = os.waitpid(child, 0)
    return status, output


@dataclass
class Kind:
    """A command that is killed.

    Parameters
    ----------
    name : str
    prepare : callable
        ``prepare(folder)`` creates the command's input.
    arguments : callable
        ``arguments(folder)`` returns the arguments of the command, or a function to run.
    left : callable
        ``left(folder, reported)`` returns the state after a kill, and its faults.
    result : callable
        ``result(folder)`` returns the result of a complete run, for comparison with an undisturbed run.
    again : callable
        ``again(left)`` returns whether the command must be run again.
    """

    name: str
    prepare: Callable[[Path], None]
    arguments: Callable[[Path], Any]
    left: Callable[[Path, list[str]], tuple[str, list[str]]]
    result: Callable[[Path], Any]
    again: Callable[[str], bool] = lambda left: True


def kinds(made: sample.Sample, recipe: Path) -> list[Kind]:
    """Return every command that writes."""

    def project(folder: Path) -> None:
        shutil.copytree(made.project, folder / "project")

    def nothing(folder: Path) -> None:
        pass

    undisturbed = made.root / "unpacked"

    def steps(folder: Path, reported: list[str]) -> tuple[str, list[str]]:
        return in_child(lambda: _steps_left(folder / "project", reported))

    def weights(folder: Path) -> Any:
        return in_child(lambda: _weights(folder / "project"))

    def exported(folder: Path, reported: list[str]) -> tuple[str, list[str]]:
        file = folder / "student.onnx"
        if not file.exists():
            return "nothing", []
        return "whole", [] if _same_file(file, made.onnx) else ["the exported file is not whole"]

    def packed(folder: Path, reported: list[str]) -> tuple[str, list[str]]:
        file = folder / "again.inficond"
        if not file.exists():
            return "nothing", []
        return "whole", [] if _same_file(file, made.root / "reference.inficond") else [
            "the archive is not whole"
        ]

    def unpacked(folder: Path, reported: list[str]) -> tuple[str, list[str]]:
        found = sorted(p.name for p in (folder / "out").glob("[!.]*")) if (folder / "out").exists() else []
        wrong = [n for n in found if _tree(folder / "out" / n) != _tree(undisturbed / n)]
        return f"{len(found)} of 2", [f"{n} is not whole" for n in wrong]

    def one_step(left: str) -> bool:
        return left == "0 steps"

    def step(*more: str) -> Callable[[Path], list[str]]:
        return lambda folder: ["tune", str(folder / "project"), *more, "--json"]

    step_taken = ["--class", "green", "--up", "red=2", "--mute", "white"]
    frozen = str(made.root / "frozen" / "project")
    archive = str(made.root / "reference.inficond")

    def export(f: Path) -> list[str]:
        return ["export", "student", str(made.project), "--out", str(f / "student.onnx"), "--json"]

    def pack(f: Path) -> list[str]:
        return ["pack", frozen, str(made.weights), "--out", str(f / "again.inficond"), "--json"]

    def unpack(f: Path) -> list[str]:
        return ["unpack", archive, "--out", str(f / "out"), "--json"]

    def replay(f: Path) -> list[str]:
        return ["replay", str(f / "project"), str(recipe), "--json"]

    return [
        Kind("distill", nothing, lambda f: made.distill(f / "project"), _built_left, _built),
        Kind("tune", project, step(*step_taken), steps, weights, one_step),
        Kind("many steps", project, lambda f: lambda: _many(f / "project"), steps, weights),
        Kind("add concept", project, step("--add-concept", "white smoke"), steps, weights, one_step),
        Kind("replay", project, replay, steps, weights, one_step),
        Kind("export", nothing, export, exported, _tree),
        Kind("pack", nothing, pack, packed, _tree),
        Kind("unpack", nothing, unpack, unpacked, _tree),
    ]


def _built_left(folder: Path, reported: list[str]) -> tuple[str, list[str]]:
    def inspect() -> tuple[str, list[str]]:
        path = folder / "project"
        try:
            project = Project.open(path)
        except InputError as error:
            known = "is not finished" in str(error) or "no project at" in str(error)
            return "unfinished", [] if known else [str(error)]
        return "whole", project.verify()

    return in_child(inspect)


def _built(folder: Path) -> Any:
    """Return the hashes of a project's files, without the times in `project.json`, and its faults."""

    def read() -> Any:
        path = folder / "project"
        project = Project.open(path)
        faults = project.verify()
        project.session("main").context.history_store.close()
        config = {
            k: v for k, v in project.config.items() if k not in ("created", "seconds", "checksum", "source")
        }
        tree = {k: v for k, v in sample.file_hashes(path).items() if k != files.PROJECT}
        return sample.digest(config), tree, faults

    return in_child(read)


def _steps_left(path: Path, reported: list[str]) -> tuple[str, list[str]]:
    """Return the number of new steps, and faults: damage, or a reported step that is missing."""
    project = Project.open(path)
    faults = project.verify()
    session = project.session("main")
    ids = {t.node.id for t in session.tree()}
    base = int((path.parent / "steps").read_text())
    faults += [f"the step {n} was reported and is missing" for n in reported if n not in ids]
    session.context.history_store.close()
    return f"{len(ids) - base} steps", faults


def _weights(path: Path) -> Any:
    session = Project.open(path).session("main")
    nodes = [(n.node.kind, n.node.title, n.node.after, n.depth) for n in session.tree()]
    state = [session.state.weights(), session.state.bias(), session.scores()]
    session.context.history_store.close()
    return sample.digest(state), sample.digest(nodes)


def _many(path: Path) -> None:
    """Take steps until there are `MANY` new ones; print the node of each."""
    session = Project.open(path).session("main")
    for i in range(len(session.tree()) - int((path.parent / "steps").read_text()), MANY):
        node = session.apply(
            session.classes[i % 3], {"kind": "set", "concept": WORDS[i % 4], "value": i / 10 - 0.5}
        )
        os.write(1, f"node {node.id}\n".encode())


def _same_file(a: Path, b: Path) -> bool:
    return hashlib.sha256(a.read_bytes()).digest() == hashlib.sha256(b.read_bytes()).digest()


def _tree(path: Path) -> Any:
    tree = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
        if path.is_file()
        else sample.file_hashes(path)
    )
    return {k: v for k, v in tree.items() if not k.endswith("-shm")}


def _reported(output: str) -> list[str]:
    try:
        found = json.loads(output)
    except ValueError:
        return [line.split()[1] for line in output.splitlines() if line.startswith("node ")]
    return [n for n in [*found.get("nodes", []), found.get("node")] if n]


def campaign(made: sample.Sample, count: int, folder: Path, seed: int = 0) -> list[Kill]:
    """Run and kill each kind of command in turn until `count` of them were killed before their end."""
    warm()
    recipe = folder / "recipe.json"
    recipe.write_text(
        json.dumps(in_child(lambda: Project.open(made.project).session("main").recipe().to_json()))
    )
    frozen = made.root / "frozen" / "project"
    shutil.copytree(made.project, frozen)
    in_child(lambda: _pack(made, frozen))
    in_child(lambda: _unpack(made))
    known: dict[str, tuple[float, Any]] = {}
    every = kinds(made, recipe)
    for kind in every:
        times = []
        for i in range(2):
            place = _place(kind, made, folder / f"reference {i} {kind.name}")
            began = time.monotonic()
            status, output = finish(*start(kind.arguments(place)))
            times.append(time.monotonic() - began)
            if status != 0:
                raise RuntimeError(f"{kind.name} does not run: {output}")
            known[kind.name] = (times[-1], kind.result(place))
    rng = random.Random(seed)
    kills: list[Kill] = []
    turn = 0
    while sum(k.killed for k in kills) < count:
        kind = every[turn % len(every)]
        kills.append(one(kind, made, folder / f"kill {turn}", known[kind.name], rng))
        shutil.rmtree(folder / f"kill {turn}", ignore_errors=True)
        turn += 1
    return kills


def one(kind: Kind, made: sample.Sample, folder: Path, known: tuple[float, Any], rng: random.Random) -> Kill:
    """Kill one run, check what is left, run the command again, and compare the result."""
    length, wanted = known
    _place(kind, made, folder)
    at = rng.uniform(0, SPREAD * length)
    child, read = start(kind.arguments(folder))
    time.sleep(at)
    os.kill(child, signal.SIGKILL)
    status, output = finish(child, read)
    reported = _reported(output)
    kill = Kill(kind.name, round(at, 4), round(length, 4), os.WIFSIGNALED(status), len(reported), "", [])
    try:
        kill.left, faults = kind.left(folder, reported)
        kill.faults += faults
        if kind.again(kill.left):
            status, _ = finish(*start(kind.arguments(folder)))
            if status != 0:
                kill.faults.append(f"the second run ends with {os.waitstatus_to_exitcode(status)}")
        if kind.result(folder) != wanted:
            kill.faults.append("the second run has another result than an undisturbed run")
    except Exception as error:
        kill.faults.append(f"{type(error).__name__}: {error}")
    return kill


def _place(kind: Kind, made: sample.Sample, folder: Path) -> Path:
    folder.mkdir(parents=True)
    kind.prepare(folder)
    if (folder / "project").exists():
        (folder / "steps").write_text(str(in_child(lambda: _count(folder / "project"))))
    return folder


def _count(path: Path) -> int:
    session = Project.open(path).session("main")
    count = len(session.tree())
    session.context.history_store.close()
    return count


def _pack(made: sample.Sample, frozen: Path) -> None:
    from inficond.core.bundle import pack

    pack([frozen, made.weights], made.root / "reference.inficond")


def _unpack(made: sample.Sample) -> None:
    """Unpack the reference archive, which holds a snapshot of the history and not its open files."""
    from inficond.core.bundle import unpack

    unpack(made.root / "reference.inficond", made.root / "unpacked")


def warm() -> None:
    """Import what the children need, except modules that start threads, which do not survive a fork."""
    import PIL.Image  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import tokenizers  # noqa: F401

    import inficond.core.models.runtime
    import inficond.core.onnx_student.export
    import inficond.core.pipeline.build
    import inficond.core.sessions.session
    import inficond.core.solver
    import inficond.core.students  # noqa: F401


def main(count: int, folder: Path, seed: int) -> None:
    """Make a sample, run the kills, and print one JSON object for each."""
    made = sample.make_in_subprocess(folder / "all", photos=150)
    for kill in campaign(made, count, folder, seed):
        print(json.dumps(asdict(kill)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
