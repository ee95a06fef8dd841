"""The public Python API is the recorded one: `python -m tests.tools.api_snapshot` records a change."""

import pytest

pytest.importorskip("griffe", reason="needs the extra `docs`")

from tests.tools.api_snapshot import SNAPSHOT, snapshot


def test_the_public_api_is_the_recorded_one() -> None:
    recorded = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    present = snapshot()
    assert sorted(set(recorded) - set(present)) == [], "removed or changed names break programs of users"
    assert sorted(set(present) - set(recorded)) == [], "record new names with tests.tools.api_snapshot"
