"""Sentences of the report that explain its figures."""

from collections.abc import Mapping
from typing import Any


def percent(value: float | None) -> str:
    """Format a share: ``0.873`` as ``"87 %"``, None as a dash."""
    return "–" if value is None else f"{100 * value:.0f} %"


def figure(value: float | None, digits: int = 2) -> str:
    """Format a number: ``0.873`` as ``"0.87"``, None as a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """Format a number with its sign, and none if it rounds to 0: ``-0.2`` as ``"−0.20"``."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def plural(n: int, one: str, many: str | None = None) -> str:
    """Format a count: ``3, "image"`` as ``"3 images"``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def grade(ap: float | None) -> str:
    """Return an adverb for the fidelity of a student with this average precision."""
    if ap is None:
        return "cannot be judged"
    for least, word in ((0.9, "very closely"), (0.75, "closely"), (0.55, "roughly"), (0.35, "loosely")):
        if ap >= least:
            return word
    return "hardly"


def summary(report: Mapping[str, Any]) -> list[str]:
    """Return three to six sentences on the quality of the students.

    Parameters
    ----------
    report : mapping
        Result of `measure.report`.

    Returns
    -------
    list of str
        Plain text, not escaped.
    """
    overall, about = report["overall"], report["project"]
    fidelity, out = overall["fidelity"], []
    mean = "" if len(report["classes"]) == 1 else "mean "
    if not about["validation"]:
        return ["No images are held out for validation, so the students cannot be evaluated."]
    if fidelity["ap"] is None:
        return [
            "For every class, the teacher gives the same answer on all held-out images, so the students "
            "cannot be evaluated. Choose classes that occur in these photographs."
        ]
    out.append(
        f"On {plural(about['validation'], 'held-out image')} the students follow their teacher "
        f"{grade(fidelity['ap'])}: the {mean}average precision is {figure(fidelity['ap'])} "
        "(1 is the teacher's ranking), and the balanced agreement is "
        f"{percent(fidelity['balanced_agreement'])}."
    )
    baseline = overall["baseline"]
    if baseline is None or baseline["ap"] is None:
        out.append("There is no random-concept baseline, because this project has no region embeddings.")
    else:
        out.append(_against_random(overall, baseline))
    if overall["nec"] is not None:
        alone = (
            "" if overall["anec5"] is None else f"; the five largest alone reach {figure(overall['anec5'])}"
        )
        out.append(f"A class uses {overall['nec']:.0f} concepts on average{alone}.")
    accuracy = overall["accuracy"]
    if accuracy and accuracy["student"]["ap"] is not None:
        student, teacher = accuracy["student"]["ap"], accuracy["teacher"]["ap"]
        out.append(
            f"Compared with the labels, the students reach {'a' if mean else 'an'} {mean}average precision "
            f"of {figure(student)}, the teacher {figure(teacher)}."
        )
    defined = [c for c in report["classes"] if c["name"] not in overall["undefined"]]
    ranked = sorted(defined, key=lambda c: c["metrics"]["ap"])
    if len(ranked) > 1:
        out.append(
            f"Strongest: {ranked[-1]['name']} ({figure(ranked[-1]['metrics']['ap'])}). "
            f"Weakest: {ranked[0]['name']} ({figure(ranked[0]['metrics']['ap'])})."
        )
    slices = [(s["score"], c["name"], s) for c in report["classes"] for s in c["slices"]]
    if slices:
        _, name, worst = max(slices, key=lambda x: x[0])
        out.append(f"The largest slice concerns {name}, {worst['kind']} images: {worst['text']}.")
    if overall["undefined"]:
        out.append(
            "Not evaluated: "
            + ", ".join(overall["undefined"])
            + ", because the teacher gives the same answer on all images."
        )
    return out


def reading(entry: Mapping[str, Any]) -> list[str]:
    """Return sentences that explain the figures of a class.

    Parameters
    ----------
    entry : mapping
        One of ``report["classes"]``.

    Returns
    -------
    list of str
        Plain text, not escaped.
    """
    m, out = entry["metrics"], []
    if m["ap"] is None or m["positives"] == m["n"]:
        return list(m["notes"])
    ap = entry["intervals"]["ap"]
    span = "" if ap["low"] is None else f" (95 % interval {figure(ap['low'])} to {figure(ap['high'])})"
    out.append(
        f"Follows its teacher {grade(m['ap'])}: average precision {figure(m['ap'])}{span}, from "
        f"{plural(m['nec'] or 0, 'concept')}."
    )
    counts = m["counts"]
    out.append(
        f"Of the {plural(m['positives'], 'image')} with the teacher's yes it misses {counts['missed']:,}; "
        f"it says yes to {plural(counts['extra'], 'other image')}."
    )
    if entry["baseline"]:
        change = entry["baseline"]["words_against_random"]["ap"]
        random = figure(entry["baseline"]["metrics"]["ap"])
        if change["verdict"] == "better":
            out.append(f"Random directions reach only {random}: the words are informative.")
        elif change["verdict"] == "worse":
            out.append(
                f"Random directions reach more ({random}): these words do not explain the predictions."
            )
        else:
            out.append(
                f"Random directions reach {random}, no clear difference: interpret these words with caution."
            )
    out += [note[0].upper() + note[1:] + "." for note in m["notes"]]
    return out


def _against_random(overall: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    gain = overall["fidelity"]["ap"] - baseline["ap"]
    line = f"The same fit on random directions instead of words reaches {figure(baseline['ap'])}"
    if gain >= 0.02:
        line += f"; the words gain {signed(gain)}."
    elif gain > -0.02:
        line += ", about the same; the words do not improve the predictions."
    else:
        line += f", which is better ({signed(-gain)}): the vocabulary does not describe these images well."
    few, random = overall["anec5"], baseline["anec5"]
    if few is not None and random is not None:
        # Many directions of any kind predict well; few do only if they are meaningful (see VLG-CBM).
        line += f" With five concepts per class, words reach {figure(few)} and directions {figure(random)}."
    return line
