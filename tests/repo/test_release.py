"""Releases: distributions that build the same twice, and files that state the version."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.tools.distributions import ROOT, build

from inficond.core import __version__


@pytest.mark.nightly
def test_distributions_build_the_same_in_checkouts_of_different_umask(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    sums = []
    for name, hidden in (("first", 0o022), ("second", 0o077)):
        source = tmp_path / name / "source"
        for file in filter(None, listed.split("\0")):
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, source / file, follow_symlinks=False)
            if not (source / file).is_symlink():
                (source / file).chmod((ROOT / file).stat().st_mode & ~hidden)
        built = build(source, tmp_path / name / "dist", 1_700_000_000)
        sums.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in built])
    assert sums[0] == sums[1]


def test_the_citation_states_the_version() -> None:
    found = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert found[1] == __version__
