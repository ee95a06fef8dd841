"""The documentation site: it builds without a dead link, needs no network and holds every document."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.documents import ROOT, documents

pytest.importorskip("material", reason="needs the extra `docs`")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a dead link or a missing reference fails the build."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_document_has_a_page_in_the_navigation(site: Path) -> None:
    index = (site / "index.html").read_text(encoding="utf-8")
    for document in documents():
        page = "index" if document.name == "README.md" else document.stem.lower()
        assert f'href="{page}.html"' in index, document.name


def test_the_reference_names_every_command_and_the_public_classes(site: Path) -> None:
    from inficond.core.cli.main import commands

    text = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert [name for name in commands() if f"inficond {name}" not in text] == []
    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in ("facade.Project.create", "sessions.session.Session", "solver.fit", "student_page"):
        assert f'id="inficond.core.{name}' in text, name


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]+)"', page.read_text("utf-8")
        )
        assert loaded == [], page.name
