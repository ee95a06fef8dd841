"""The benchmark of an exported student."""

from pathlib import Path

import pytest

from inficond.core.cli.main import main
from inficond.core.demo import demo_project


def test_a_project_with_thumbnails_only_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    """The project was built from larger images, so thumbnails would change the result."""
    demo: Path = demo_project()
    assert main(["bench", "student", str(demo)]) == 2
    assert "holds thumbnails alone" in capsys.readouterr().err
