"""On a Space, nothing of a visit is stored, and there is no owner key."""

import shutil
import time
from pathlib import Path

import numpy as np

from inficond.core import Project
from inficond.core.sessions import session_registry
from inficond.gradio_app.space import build_space_page


def test_nothing_of_a_visit_is_stored(small_project: Project, tmp_path: Path) -> None:
    folder = shutil.copytree(small_project.path, tmp_path / "demo")
    page = build_space_page(folder)
    try:
        visitor, _ = page.visitors.get()
        session, cls = visitor.own_session(), visitor.project.classes[0]
        word = session.concepts[int(np.abs(session.influence(cls).weights).argmax())]
        session.apply(cls, [{"kind": "mute", "concept": word}])
        export = page.files.new_file("student.onnx")
        export.write_bytes(b"theirs")
        page.files.register(export, visitor.token)
        registry = page.visitors._sessions[visitor.key]
        registry._clock = lambda: time.monotonic() + 2 * session_registry.IDLE_SECONDS
        page.visitors.sweep()
        again, lost = page.visitors.get(visitor.token)
        assert lost
        assert again.token != visitor.token
        assert not again.session.can_undo
        assert not export.exists()
        added = page.visitors.add(small_project)
        assert page.visitors._sessions[added].saves is False, "nor in projects that come later"
        root = page.files.folder
    finally:
        page.close()
    assert not root.exists()
    assert not list(folder.rglob("history.sqlite*"))


def test_the_page_of_a_space_has_no_owner_key(small_project: Project) -> None:
    page = build_space_page(small_project.path)
    assert not page.owner_key.value
    assert not page.owner_key.matches("")
    page.close()
