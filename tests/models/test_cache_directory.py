"""The user's cache folder of an account without a home directory."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from inficond.core.models.cache_directory import cache_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="accounts of POSIX")


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual folder of an account without a home, in a temporary folder of its own."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("INFICOND_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"cache-{os.getuid()}"


def test_the_folder_is_private_and_the_same_at_each_call(usual: Path) -> None:
    assert cache_folder("models") == usual / "inficond" / "models"
    assert usual.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("taken", ["a link", "a file", "writable by all"])
def test_a_folder_that_others_prepared_is_not_used(usual: Path, taken: str) -> None:
    if taken == "a link":
        (usual.parent / "elsewhere").mkdir()
        usual.symlink_to("elsewhere")
    elif taken == "a file":
        usual.write_text("in the way")
    else:
        usual.mkdir()
        usual.chmod(0o777)
    found = cache_folder().parent
    assert found.parent == usual.parent
    assert found != usual
    assert found.stat().st_mode & 0o077 == 0
    assert cache_folder().parent == found
