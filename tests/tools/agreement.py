"""Agreement of the default command with its teacher: `python -m tests.tools.agreement FOLDER… --seeds 6`.

Each folder of labelled photographs becomes a project with the options of a person who gives none, once per
seed. Counted are the held-out photographs whose most probable class is the same for student and teacher. The
rows are those of the table in docs/words.md.
"""

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inficond.core import Project, distill
from inficond.core.evaluation.exclusive import exclusive_metrics
from inficond.core.images.walk import SUFFIXES
from inficond.core.progress import Silent


@dataclass
class Counts:
    """Counts over the seeds of a folder, each for one part of the photographs."""

    same: int = 0
    no_yes: int = 0
    images: int = 0

    def add(self, project: Project, X: np.ndarray, T: np.ndarray) -> None:
        """Count the photographs of one project."""
        students = project.students
        found = exclusive_metrics(np.asarray(T), students.predict(np.asarray(X)), students.thresholds)
        self.same += round(found.agreement * len(X))
        self.no_yes += round(found.no_yes * len(X))
        self.images += len(X)

    def __str__(self) -> str:
        return f"{self.same} of {self.images} ({self.same / max(self.images, 1):.1%})"


@dataclass
class Row:
    """Figures of a folder."""

    tune: Counts = field(default_factory=Counts)
    exam: Counts = field(default_factory=Counts)
    nec: list[float] = field(default_factory=list)

    def add(self, project: Project) -> None:
        """Count the photographs of one project."""
        validation = np.asarray(project.is_validation)
        self.tune.add(project, np.asarray(project.X)[validation], np.asarray(project.T)[validation])
        if project.exam is not None:
            self.exam.add(project, project.exam.X, project.exam.T)
        self.nec.append(float(project.students.nec().mean()))

    @property
    def both(self) -> Counts:
        """Counts of both parts together."""
        tune, exam = self.tune, self.exam
        return Counts(tune.same + exam.same, tune.no_yes + exam.no_yes, tune.images + exam.images)


def build(folder: Path, seed: int, undivided: bool, out: Path) -> Project:
    """Distil a folder with default options.

    Parameters
    ----------
    undivided : bool
        Ignore folders such as `train` and `test`; the class is the name of the innermost folder.
    """
    if not undivided:
        return distill(folder, out=out, seed=seed, progress=Silent())
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return distill(paths, [path.parent.name for path in paths], out=out, seed=seed, progress=Silent())


def main() -> None:
    """Print a row of the table for each folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=6, help="projects per folder (default 6)")
    parser.add_argument("--undivided", action="store_true", help="ignore the folders train and test")
    args = parser.parse_args()
    print("| folder | tune part | exam part | both | concepts per class | no class says yes |")
    print("|---|---|---|---|---|---|")
    for folder in args.folders:
        row = Row()
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory() as scratch:
                row.add(build(folder, seed, args.undivided, Path(scratch) / "project"))
        both = row.both
        print(
            f"| {folder.name} | {row.tune} | {row.exam} | {both.same / both.images:.1%} | "
            f"{min(row.nec):.1f} to {max(row.nec):.1f} | {both.no_yes} of {both.images} |"
        )


if __name__ == "__main__":
    main()
