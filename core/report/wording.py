"""The report in plain words: what a figure means for somebody who has not read the glossary."""

from collections.abc import Mapping
from typing import Any


def percent(value: float | None) -> str:
    """``0.873`` -> ``"87 %"``; a dash for None."""
    return "–" if value is None else f"{100 * value:.0f} %"


def figure(value: float | None, digits: int = 2) -> str:
    """``0.873`` -> ``"0.87"``; a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """``-0.2`` -> ``"−0.20"``, with the sign that is as wide as the plus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def plural(n: int, one: str, many: str | None = None) -> str:
    """``3, "image"`` -> ``"3 images"``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def grade(ap: float | None) -> str:
    """How closely a student follows, in a word, from its average precision."""
    if ap is None:
        return "cannot be judged"
    for least, word in ((0.9, "very closely"), (0.75, "closely"), (0.55, "roughly"), (0.35, "loosely")):
        if ap >= least:
            return word
    return "hardly"


def summary(report: Mapping[str, Any]) -> list[str]:
    """The answer to "how good is this student", three to six sentences.

    Parameters
    ----------
    report : mapping
        As `measure.report` makes it.

    Returns
    -------
    list of str
        Plain text, not escaped.
    """
    overall, about = report["overall"], report["project"]
    fidelity, out = overall["fidelity"], []
    mean = "" if len(report["classes"]) == 1 else "mean "
    if not about["validation"]:
        return ["No image was held out for validation, so nothing can be said about these students."]
    if fidelity["ap"] is None:
        return [
            "On the held-out images the teacher says the same of every image, class by class: there is "
            "nothing the students could be measured against. Choose classes that occur in these photographs."
        ]
    out.append(
        f"On {plural(about['validation'], 'held-out image')} the students follow their teacher "
        f"{grade(fidelity['ap'])}: the {mean}average precision is {figure(fidelity['ap'])} "
        "(1 would be the teacher's own ranking), and they agree on "
        f"{percent(fidelity['balanced_agreement'])} when yes and no count the same."
    )
    baseline = overall["baseline"]
    if baseline is None or baseline["ap"] is None:
        out.append(
            "The random-concept row is missing: this project keeps no region embeddings to draw it from."
        )
    else:
        out.append(_against_random(overall, baseline))
    if overall["nec"] is not None:
        alone = (
            "" if overall["anec5"] is None else f"; its five largest alone reach {figure(overall['anec5'])}"
        )
        out.append(f"A class uses {overall['nec']:.0f} concepts on average{alone}.")
    accuracy = overall["accuracy"]
    if accuracy and accuracy["student"]["ap"] is not None:
        student, teacher = accuracy["student"]["ap"], accuracy["teacher"]["ap"]
        out.append(
            f"Against the labels the students reach {'a' if mean else 'an'} {mean}average precision of "
            f"{figure(student)}, the teacher {figure(teacher)}."
        )
    told = [c for c in report["classes"] if c["name"] not in overall["undefined"]]
    ranked = sorted(told, key=lambda c: c["metrics"]["ap"])
    if len(ranked) > 1:
        out.append(
            f"Strongest: {ranked[-1]['name']} ({figure(ranked[-1]['metrics']['ap'])}). "
            f"Weakest: {ranked[0]['name']} ({figure(ranked[0]['metrics']['ap'])})."
        )
    slices = [(s["score"], c["name"], s) for c in report["classes"] for s in c["slices"]]
    if slices:
        _, name, worst = max(slices, key=lambda x: x[0])
        out.append(f"Look first at {name}, {worst['kind']} images: {worst['text']}.")
    if overall["undefined"]:
        out.append(
            "Nothing can be said about "
            + ", ".join(overall["undefined"])
            + ": the teacher says the same of every image."
        )
    return out


def reading(entry: Mapping[str, Any]) -> list[str]:
    """What one class's figures mean.

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
        f"Of the {plural(m['positives'], 'image')} to which the teacher says yes it misses "
        f"{counts['missed']:,}; it says yes to {plural(counts['extra'], 'image')} to which "
        "the teacher does not."
    )
    if entry["baseline"]:
        change = entry["baseline"]["words_against_random"]["ap"]
        random = figure(entry["baseline"]["metrics"]["ap"])
        if change["verdict"] == "better":
            out.append(f"Random directions reach only {random}: the words carry real information.")
        elif change["verdict"] == "worse":
            out.append(
                f"Random directions do better ({random}): do not trust these words as the explanation."
            )
        else:
            out.append(
                f"Random directions reach {random}, no clear difference: read these words with caution."
            )
    out += [note[0].upper() + note[1:] + "." for note in m["notes"]]
    return out


def _against_random(overall: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    gain = overall["fidelity"]["ap"] - baseline["ap"]
    line = f"The same fit on random directions instead of words reaches {figure(baseline['ap'])}"
    if gain >= 0.02:
        line += f": the words are worth {signed(gain)}."
    elif gain > -0.02:
        line += ", about the same: the words make the student readable, not better."
    else:
        line += f", which is better ({signed(-gain)}): the vocabulary does not fit these images well."
    few, random = overall["anec5"], baseline["anec5"]
    if few is not None and random is not None:
        # Many directions of any kind predict well; few only if they mean something (see VLG-CBM).
        line += f" With five concepts a class it is {figure(few)} for words against {figure(random)}."
    return line
