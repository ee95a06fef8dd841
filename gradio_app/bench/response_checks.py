"""What an answer of the page says, and what core says to the same request: the two must agree.

The reference is a session of the same project in the driver's own process, led through the same steps.
Visitors act at once on the server and one after another here: an answer that another visitor's tuning, or a
race, had changed would differ.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from inficond.core import Project
    from inficond.core.sessions.session import Session
    from inficond.gradio_app.bench.exchange import Exchange

CLOSE = 2e-5
"""Answers are rounded to six digits, scores in galleries to 16 bits."""
STEPS = ("apply", "undo", "redo")


def extract_facts(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of an answer that the reference can tell too, compact enough to keep thousands.

    Parameters
    ----------
    answer : mapping
        Of one of the page's functions.

    Returns
    -------
    dict
        ``table`` {class: [AP, missed, extra, NEC]}, ``weights`` {concept: weight}, ``gallery`` (class, rows,
        student's scores), ``opened`` (image, teacher, student), ``preview`` {concept: weight}, ``prediction``
        {class: student}; those that the answer has.
    """
    found: dict[str, Any] = {}
    parts = answer.get("parts") or {}
    selection = answer.get("selection") or {}
    if parts.get("performance.table"):
        found["table"] = {
            c["name"]: [c["ap"]["value"], c["counts"]["missed"], c["counts"]["extra"], c["nec"]]
            for c in parts["performance.table"]["classes"]
        }
    if parts.get("influence.rows"):
        rows = parts["influence.rows"]
        found["weights"] = (rows["cls"], {r["name"]: r["weight"] for r in rows["rows"]})
    if parts.get("instances.gallery"):
        gallery = parts["instances.gallery"]
        found["gallery"] = (selection.get("cls"), gallery["rows"], gallery["student"])
    if parts.get("instances.opened"):
        opened = parts["instances.opened"]
        found["opened"] = (selection.get("cls"), opened["row"], opened["teacher"], opened["student"])
    if answer.get("preview"):
        found["preview"] = answer["preview"]["weights"]
    if answer.get("prediction"):
        found["prediction"] = {r["name"]: r["student"] for r in answer["prediction"]["rows"]}
    return found


def check_against_core(
    project: "Project", log: Sequence["Exchange"], pictures: Sequence[tuple[str, bytes]] = ()
) -> list[str]:
    """Lead a reference session through what one visitor did; every answer that it contradicts.

    Parameters
    ----------
    project : Project
        The one that was served.
    log : sequence of Exchange
        Of one visitor, in order; after a step that failed nothing more is judged.
    pictures : sequence of (str, bytes)
        What was uploaded.

    Returns
    -------
    list of str
        One line for each wrong answer.
    """
    session = project.session()
    wrong: list[str] = []
    for i, exchange in enumerate(log):
        if exchange.problem and exchange.name in STEPS:
            break  # whether the step was taken is not known: what follows cannot be judged
        if exchange.problem or not exchange.facts:
            continue
        if exchange.name == "apply":
            request = exchange.request
            session.apply(request["cls"], request["actions"], request["focus"])
        elif exchange.name in STEPS:
            getattr(session, exchange.name)()
        wrong += [f"{i} {exchange.kind}: {line}" for line in differences(session, exchange, pictures)]
    return wrong


def differences(
    session: "Session", exchange: "Exchange", pictures: Sequence[tuple[str, bytes]] = ()
) -> list[str]:
    """What an answer says otherwise than a session that stands where the visitor stood."""
    said, lines = exchange.facts, []
    for cls, (ap, missed, extra, nec) in said.get("table", {}).items():
        m = session.metrics(cls)
        if not _near(ap, m.ap) or (missed, extra, nec) != (m.counts["missed"], m.counts["extra"], m.nec):
            lines.append(f"{cls}: AP {ap}, {missed} missed, {extra} extra, {nec} words")
    if "weights" in said:
        cls, weights = said["weights"]
        influence = session.influence(cls)
        held = dict(zip(influence.concepts, influence.weights))
        lines += [
            f"{cls}: {w} weighs {v}, not {held.get(w)}"
            for w, v in weights.items()
            if not _near(v, held.get(w))
        ]
    if "gallery" in said:
        cls, rows, scores = said["gallery"]
        at = np.frombuffer(base64.b64decode(rows), "<i4")
        shown = np.frombuffer(base64.b64decode(scores), "<u2") / 65535
        true = session.scores()[at, session.class_index(cls)]
        if shown.shape != true.shape or not np.allclose(shown, true, atol=CLOSE):
            lines.append(f"{cls}: scores of the gallery are off by {np.abs(shown - true).max():.2g}")
    if "opened" in said:
        cls, row, teacher, student = said["opened"]
        c = session.class_index(cls)
        if not _near(teacher, session.targets(cls)[row]) or not _near(student, session.scores()[row, c]):
            lines.append(f"{cls}: image {row} has T {teacher}, S {student}")
    if "preview" in said:
        request = exchange.request
        moved = session.preview(request["cls"], request["actions"], request["focus"]).classes[request["cls"]]
        true_weights = {w.concept: w.after for w in moved.weights}
        if set(true_weights) != set(said["preview"]) or not all(
            _near(v, true_weights[w]) for w, v in said["preview"].items()
        ):
            lines.append(f"{request['cls']}: the preview's weights differ")
    if "prediction" in said:
        lines += _prediction_differences(
            session, said["prediction"], pictures[exchange.request["picture"]][1]
        )
    return lines


def _prediction_differences(session: "Session", said: Mapping[str, float], content: bytes) -> list[str]:
    from inficond.core.images import open_picture

    trial = session.classify(np.asarray(open_picture(io.BytesIO(content)).image))
    true = dict(zip(trial.classes, trial.student))
    # one picture at a time here, perhaps more at once there: float32 sums may differ in the last digits
    return [f"own image: {c} {v}, not {true[c]}" for c, v in said.items() if abs(v - float(true[c])) > 1e-4]


def _near(said: Any, true: Any) -> bool:
    if said is None or true is None:
        return said is None and (true is None or true != true)
    return bool(abs(float(said) - float(true)) <= CLOSE * max(1.0, abs(float(true))))
