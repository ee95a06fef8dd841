"""A planted error on real photographs: in training, the teacher says `sea` for every sunset.

The student is then wrong about sunsets on validation images, where the teacher is right. Slices and
suggestions must show this, and three steps must correct most of it: overrides of the images in the slice
without sea (by their labels), and two suggestions.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.evaluation import Change, paired_bootstrap
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.core.students import distil

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def faulty(scenes_run: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The scenes, with wrong teacher responses to training images."""
    clean = Project.open(scenes_run[0])
    folder = tmp_path_factory.mktemp("faulty") / "project"
    training = ~clean.is_validation
    assert clean.labels is not None
    sunset = clean.labels[:, clean.classes.index("sunset")] == 1
    T, sea = np.array(clean.T), clean.classes.index("sea")
    T[training & sunset, sea] = np.maximum(T[training & sunset, sea], 0.95)
    students, _ = distil(
        np.asarray(clean.X)[training], T[training], clean.classes, clean.concepts, lam=clean.students.lam
    )
    write_project(
        folder,
        ProjectContents(
            images=[ImageRow(id=i, path=i) for i in clean.image_ids],
            T=T,
            concepts=clean.concepts,
            concept_groups=clean.concept_groups,
            classes=clean.classes,
            is_validation=clean.is_validation,
            students=students,
            labels=np.asarray(clean.labels),
        ),
        [ImageBlock(X=np.asarray(clean.X))],
    )
    return Project.open(folder)


def test_slices_and_suggestions_find_the_error_and_three_steps_correct_it(
    faulty: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    session = faulty.session()
    labels, validation = faulty.labels, faulty.is_validation
    assert labels is not None
    sea = labels[:, faulty.classes.index("sea")] == 1
    sunset = labels[:, faulty.classes.index("sunset")] == 1
    before = session.scores()[:, session.class_index("sea")].copy()

    # Slices: what is wrongly called sea is, above all, what has a sun or the light of one.
    one = session.slices("sea")[0]
    assert one.kind == "extra"
    assert sunset[one.misaligned].mean() > 0.6
    assert sunset[validation].mean() < 0.25

    # Suggestions: among the first three, concepts that go with sunsets.
    columns = session.columns
    z = columns.training
    goes_with = np.array([np.corrcoef(z[:, k], sunset[~validation])[0, 1] for k in range(z.shape[1])])
    typical = set(np.argsort(-goes_with)[:15].tolist())
    first = session.suggest("sea", "extra")[:3]
    assert any(typical & {columns.index[c] for c in s.concepts} for s in first), [s.text for s in first]

    # Three steps.
    seen = session.slice_images(one)
    wrong = [
        i for i in seen if not validation[i] and faulty.T[i, session.class_index("sea")] >= 0.5 and not sea[i]
    ]
    session.override([faulty.image_ids[i] for i in wrong], "sea", 0.0, note=f"looked through {one.name}")
    for _ in range(2):
        best = session.suggest("sea", "extra")[0]
        session.apply("sea", best.actions)
    after = session.scores()[:, session.class_index("sea")]
    change = compared(faulty, before, after, validation)
    on_sunsets = compared(faulty, before, after, validation & sunset)
    with capsys.disabled():
        for node in session.tree()[1:]:
            print(f"\n  {node.node.title}", end="")
        for name, some in (("validation", change), ("of them sunsets", on_sunsets)):
            said = ", ".join(f"{k} {c.before:.3f} → {c.after:.3f}" for k, c in some.items() if k != "bce")
            print(f"\n  {name}: {said}", end="")
        print()
    assert change["ap"].delta.low > 0
    assert change["ap"].delta.value > 0.08
    assert change["bce"].verdict == "better"
    assert on_sunsets["agreement"].verdict == "better"


def compared(project: Project, before: np.ndarray, after: np.ndarray, among: np.ndarray) -> dict[str, Change]:
    """Return the change of fidelity to the teacher, which is right on validation images."""
    return paired_bootstrap(project.T[among, project.classes.index("sea")], before[among], after[among])
