"""The benchmark of an exported student."""

from pathlib import Path

import pytest

from inficond.core.cli.main import main
from inficond.core.demo import demo_project


def test_thumbnails_are_not_taken_for_photographs(capsys: pytest.CaptureFixture[str]) -> None:
    """The project was made from larger pictures: what differs would not be the student's doing."""
    demo: Path = demo_project()
    assert main(["bench", "student", str(demo)]) == 2
    assert "holds thumbnails alone" in capsys.readouterr().err
