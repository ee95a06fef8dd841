"""Skipped files, warnings and choices of a build."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from inficond.core.progress import Progress

SHOWN = 20
"""Skipped files that are reported one by one."""
LISTED = 1000
"""Skipped files and remarks that `project.json` lists; the rest are counted."""


@dataclass
class BuildNotes:
    """Collects skipped files, remarks and choices during a build and reports them as they occur.

    Parameters
    ----------
    progress : Progress
        Reported to.
    skipped : list of (file, reason)
    remarks : list of str
    choices : list of str
        Choices that the person left open, with their reasons.
    """

    progress: Progress
    skipped: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)

    def skip(self, file: str, reason: str) -> None:
        """Record a skipped file."""
        self.skipped.append((file, reason))
        if len(self.skipped) <= SHOWN:
            self.progress.note(f"skipped {file}: {reason}")
        elif len(self.skipped) == SHOWN + 1:
            self.progress.note("more files are skipped; project.json lists them")

    def remark(self, text: str) -> None:
        """Record a remark."""
        self.remarks.append(text)
        self.progress.note(text)

    def choose(self, reason: str) -> None:
        """Record a choice that the person left open, with its reason."""
        self.choices.append(reason)
        self.progress.note(reason)

    def remark_kinds(self, remarks: Sequence[tuple[str, str]]) -> None:
        """Record remarks about images, one line for each kind of remark.

        Parameters
        ----------
        remarks : sequence of (id, remark)
        """
        kinds: dict[str, list[str]] = {}
        for id, remark in remarks:
            kind = "the first frame is used" if remark.startswith("the first of") else remark
            kinds.setdefault(kind, []).append(id)
        for kind, ids in kinds.items():
            more = f" and {len(ids) - 1:,} more" if len(ids) > 1 else ""
            self.remark(f"{ids[0]}{more}: {kind}")
