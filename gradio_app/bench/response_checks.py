"""Comparison of the page's responses with the results of `inficond.core` for the same requests.

The reference is a session of the same project in the process of the load test, to which the same steps are
applied. Visitors act at the same time on the server, and one after another here, so a response that was
affected by another visitor's tuning or by a race condition differs.
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

TOLERANCE = 2e-5
"""Relative tolerance: responses are rounded to six digits, scores in galleries to 16 bits."""
STEPS = ("apply", "undo", "redo")


def extract_facts(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Extract the numbers of a response that are compared with the reference.

    Parameters
    ----------
    answer : mapping
        Response of a remote procedure of the page.

    Returns
    -------
    dict
        ``table`` {class: [AP, missed, extra, NEC]}, ``weights`` {concept: weight}, ``gallery`` (class, rows,
        student's scores), ``opened`` (image, teacher, student), ``preview`` {concept: weight}, ``prediction``
        {class: student}; only those that the response contains.
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
    """Repeat the requests of one visitor on a reference session; return the differences.

    Parameters
    ----------
    project : Project
        The project that was served.
    log : sequence of Exchange
        Requests of one visitor, in order. Requests after a failed step are not checked.
    pictures : sequence of (str, bytes)
        Uploaded images.

    Returns
    -------
    list of str
        One line for each wrong response.
    """
    session = project.session()
    wrong: list[str] = []
    for i, exchange in enumerate(log):
        if exchange.problem and exchange.name in STEPS:
            break  # it is unknown whether the step was taken
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
    """Return the differences between a response and a session at the visitor's node, one line each."""
    facts, lines = exchange.facts, []
    for cls, (ap, missed, extra, nec) in facts.get("table", {}).items():
        m = session.metrics(cls)
        if not _near(ap, m.ap) or (missed, extra, nec) != (m.counts["missed"], m.counts["extra"], m.nec):
            lines.append(f"{cls}: AP {ap}, {missed} missed, {extra} extra, {nec} words")
    if "weights" in facts:
        cls, weights = facts["weights"]
        influence = session.influence(cls)
        expected = dict(zip(influence.concepts, influence.weights))
        lines += [
            f"{cls}: the weight of {w} is {v}, not {expected.get(w)}"
            for w, v in weights.items()
            if not _near(v, expected.get(w))
        ]
    if "gallery" in facts:
        cls, rows, scores = facts["gallery"]
        at = np.frombuffer(base64.b64decode(rows), "<i4")
        shown = np.frombuffer(base64.b64decode(scores), "<u2") / 65535
        true = session.scores()[at, session.class_index(cls)]
        if shown.shape != true.shape or not np.allclose(shown, true, atol=TOLERANCE):
            lines.append(f"{cls}: scores of the gallery differ by {np.abs(shown - true).max():.2g}")
    if "opened" in facts:
        cls, row, teacher, student = facts["opened"]
        c = session.class_index(cls)
        if not _near(teacher, session.targets(cls)[row]) or not _near(student, session.scores()[row, c]):
            lines.append(f"{cls}: image {row} has T {teacher}, S {student}")
    if "preview" in facts:
        request = exchange.request
        moved = session.preview(request["cls"], request["actions"], request["focus"]).classes[request["cls"]]
        true_weights = {w.concept: w.after for w in moved.weights}
        served = facts["preview"]
        far = [w for w in {**served, **true_weights} if not _near(served.get(w), true_weights.get(w))]
        if far:
            some = ", ".join(f"{w} {served.get(w)}, not {true_weights.get(w)}" for w in far[:3])
            lines.append(f"{request['cls']}: {len(far)} weights of the preview differ: {some}")
    if "prediction" in facts:
        lines += _prediction_differences(
            session, facts["prediction"], pictures[exchange.request["picture"]][1]
        )
    return lines


def _prediction_differences(session: "Session", served: Mapping[str, float], content: bytes) -> list[str]:
    from inficond.core.images import open_picture

    trial = session.classify(np.asarray(open_picture(io.BytesIO(content)).image))
    true = dict(zip(trial.classes, trial.student))
    # The server may have batched the picture with others, so that float32 sums differ in the last digits.
    return [f"own image: {c} {v}, not {true[c]}" for c, v in served.items() if abs(v - float(true[c])) > 1e-4]


def _near(served: Any, true: Any) -> bool:
    if served is None or true is None:
        return served is None and (true is None or true != true)
    return bool(abs(float(served) - float(true)) <= TOLERANCE * max(1.0, abs(float(true))))
