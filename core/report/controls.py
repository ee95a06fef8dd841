"""Sentences on the controls of a project's words."""

from collections.abc import Mapping
from typing import Any

from inficond.core.report.wording import figure, percent

NAMES = ("random directions", "random regions", "random words")
WARN_ABSENT = 0.25
"""Share of answers that rest on absent concepts, from which it is a warning."""


def control_lines(controls: Mapping[str, Any] | None) -> list[str]:
    """Return sentences on the controls, as stored in a project; empty for projects without controls.

    Parameters
    ----------
    controls : mapping or None
        ``words`` and controls by name with ``ap``; ``absent``.
    """
    words = ((controls or {}).get("words") or {}).get("ap")
    if controls is None or words is None:
        return []
    found = {name: controls[name]["ap"] for name in NAMES if controls.get(name, {}).get("ap") is not None}
    lines = []
    if found:
        told = ", ".join(f"{name} {figure(ap, 3)}" for name, ap in found.items())
        lines.append(f"Controls of equal number and link, fidelity AP: words {figure(words, 3)}; {told}.")
        beaten = [name for name, ap in found.items() if words > ap]
        if not beaten:
            lines.append(
                "The words beat none of the controls: they predict the teacher no better than vectors "
                "without meaning. Name words of your own, or use another encoder."
            )
        elif len(beaten) < len(found):
            rest = " and ".join(name for name in found if name not in beaten)
            lines.append(f"The words do not beat {rest}: fidelity alone does not show that they are right.")
    absent = controls.get("absent")
    if absent is not None:
        line = f"In {percent(absent)} of the yes answers the largest contribution is an absent concept"
        lines.append(
            f"{line}: such answers cannot be shown in the picture." if absent >= WARN_ABSENT else f"{line}."
        )
    return lines
