"""On a Space nothing of a visit outlives it: neither on disk nor for whoever finds its token."""

import shutil
from pathlib import Path

import numpy as np

from inficond.core import Project
from inficond.gradio_app.space import build_space_page


def test_nothing_of_a_visit_is_kept(small_project: Project, tmp_path: Path) -> None:
    folder = shutil.copytree(small_project.path, tmp_path / "demo")
    page = build_space_page(folder)
    try:
        visitor, _ = page.visitors.get()
        cls = visitor.project.classes[0]
        word = visitor.session.concepts[int(np.abs(visitor.session.influence(cls).weights).argmax())]
        visitor.session.apply(cls, [{"kind": "mute", "concept": word}])
        export = page.files.private(visitor.token)
        (export / "student.onnx").write_bytes(b"theirs")
        sessions = page.visitors._sessions[visitor.key]
        sessions._clock = lambda: float("inf")  # everybody has been idle for ever
        page.visitors._swept = float("-inf")
        again, lost = page.visitors.get(visitor.token)
        assert lost
        assert again.token != visitor.token
        assert not again.session.can_undo
        assert not export.exists()
        added = page.visitors.add(small_project)
        assert page.visitors._sessions[added].saves is False, "nor in projects that come later"
    finally:
        page.close()
    assert not list(folder.rglob("history.sqlite*"))


def test_the_page_of_a_space_opens_no_folder(small_project: Project) -> None:
    page = build_space_page(small_project.path)
    assert page.rpc.local_folders is False
    page.close()
