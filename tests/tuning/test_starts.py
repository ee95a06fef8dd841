"""Starting points of refits at the project's own weights, whose gradients are evaluated together."""

from collections.abc import Callable

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.tuning import refit
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]


def test_all_classes_together_have_the_gradients_of_separate_passes(make_project: MakeProject) -> None:
    workspace = make_project(n=2000, k=32).session().workspace
    base = refit._learn(workspace, workspace.root)
    for c, (cls, one) in enumerate(workspace.root.classes.items()):
        together = refit._start(workspace, workspace.root, cls)
        alone = refit._about(
            workspace,
            workspace.root,
            one.weights[None],
            np.array([one.bias]),
            base.select([c]),
            workspace.T_training[:, [c]],
        )
        np.testing.assert_array_equal(together.weights, alone.weights)
        np.testing.assert_allclose(together.model.gradient, alone.model.gradient, atol=1e-6)
        np.testing.assert_allclose(together.model.loss, alone.model.loss, rtol=1e-5)


def test_only_the_projects_own_weights_and_targets_start_together(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make_project(n=2000, k=32).session()
    workspace, cls = session.workspace, session.classes[0]
    used = int(np.flatnonzero(session.state.classes[cls].weights)[0])
    action = Action("mute", session.concepts[used])
    session.preview(cls, [action])
    passes: list[str] = []
    about = refit._about

    def counted(*args: object) -> object:
        passes.append("pass")
        return about(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(refit, "_about", counted)
    session.preview(cls, [action])
    assert not passes, "the gradient at the project's own weights was evaluated again"
    session.apply(cls, [action])
    session.preview(cls, [Action("free", session.concepts[used]), Action("down", session.concepts[-1])])
    assert passes == ["pass"], "other weights start from another gradient"
    assert workspace.root.classes[cls] is not session.state.classes[cls]
