"""Worker of test_history.py: `python history_worker.py MODE PROJECT [ARGUMENT]`."""

import os
import random
import resource
import signal
import sys
import time

from inficond.core import InputError, Project
from inficond.core.tuning.actions import Action


def step(session, i: int) -> str:
    """Take a step that changes weights; return its node."""
    cls = session.classes[i % len(session.classes)]
    return session.apply(cls, Action("set", f"c{i % 20}", (i % 37) / 30 - 0.5)).id


def say(*words: object) -> None:
    """Write a line to stdout in one call."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def kills(path: str, rounds: str) -> None:
    """Fork children that take steps without end, and kill each at a random moment."""
    rng = random.Random(7)
    project = Project.open(path)
    step(project.session(), 5)  # loads what a fit needs, so that the children do not have to
    project.session().context.history_store.close()
    for i in range(int(rounds)):
        child = os.fork()
        if child == 0:
            session = project.session("main")
            say("begun")
            for k in range(10_000):
                say("node", step(session, 1000 * i + k))
            os._exit(0)
        time.sleep(rng.uniform(0.02, 0.5))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def write(path: str, count: str) -> None:
    """Take steps as one of several writers, each on top of the current node in the file."""
    project = Project.open(path)
    session = project.session("main")
    for i in range(int(count)):
        with session.exclusive():
            say("node", step(session, i + os.getpid() % 13))


def branch(path: str, count: str) -> None:
    """Take steps without reading those of other writers."""
    session = Project.open(path).session("main")
    for i in range(int(count)):
        say("node", step(session, i))


def full(path: str) -> None:
    """Take steps while the disk is full, and one when it has room again."""
    session = Project.open(path).session("main")
    step(session, 0)
    before = session.state, session.node, len(session.tree())
    free = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, free[1]))
    for _ in range(3):
        try:
            step(session, 1)
            say("written")
        except InputError as error:
            say("refused", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, free)
    say("same", (session.state, session.node, len(session.tree())) == before)
    say("node", step(session, 1))


def readonly(path: str) -> None:
    """Try steps as a user who may not write to the project."""
    warm = Project.open(path).session()
    step(warm, 5)  # loads what a fit needs before the user changes
    if os.geteuid() == 0:
        os.seteuid(65534)
    project = Project.open(path)
    for act in ("apply", "undo", "name"):
        session = project.session("main")
        try:
            if act == "apply":
                step(session, 1)
            elif act == "undo":
                session.undo()
            else:
                session.name(session.node, "x")
            say(act, "written")
        except InputError as error:
            say(act, "refused", error)
    visitor = project.session()
    say("nodes", len(visitor.tree()))
    say("memory", step(visitor, 1) == visitor.node)
    try:
        visitor.save()
        say("saved")
    except InputError:
        say("unsaved")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
