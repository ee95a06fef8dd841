"""On a Space, nothing of a visit is stored, and there is no owner key."""

import shutil
import time
from pathlib import Path

import numpy as np

from inficond.core import Project
from inficond.core.sessions import session_registry
from inficond.gradio_app.space import build_space_page


def test_nothing_of_a_visit_is_stored(small_project: Project, tmp_path: Path) -> None:
    folder, later = (shutil.copytree(small_project.path, tmp_path / name) for name in ("demo", "later"))
    page = build_space_page(folder)
    try:
        first, _ = page.visitors.get()
        visits = [first, page.visitors.open_project(first, page.visitors.add(Project.open(later)))]
        for visitor in visits:
            session, cls = visitor.own_session(), visitor.project.classes[0]
            word = session.concepts[int(np.abs(session.influence(cls).weights).argmax())]
            session.apply(cls, [{"kind": "mute", "concept": word}])
        export = page.files.new_file("student.onnx")
        export.write_bytes(b"theirs")
        page.files.register.add(export, first.token)
        page.visitors.sweep(time.monotonic() + 2 * session_registry.IDLE_SECONDS)
        for visitor in visits:
            again, lost = page.visitors.get(visitor.token)
            assert lost
            assert again.token != visitor.token
            assert not again.session.can_undo
        assert not export.exists()
        root = page.files.folder
    finally:
        page.close()
    assert not root.exists()
    assert not list(tmp_path.rglob("history.sqlite*"))


def test_the_page_of_a_space_has_no_owner_key(small_project: Project) -> None:
    page = build_space_page(small_project.path)
    assert not page.owner_key.value
    assert not page.owner_key.matches("")
    page.close()
