"""Samples of every kind of file, made once for all tests of this folder."""

import pytest
from tests.faults import sample


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> sample.Sample:
    """A sample; a test that changes a file restores it."""
    return sample.make(tmp_path_factory.mktemp("sample") / "all")


@pytest.fixture(scope="session")
def made_killed(tmp_path_factory: pytest.TempPathFactory) -> sample.Sample:
    """A sample whose last writer was killed; a test that changes a file restores it."""
    return sample.make(tmp_path_factory.mktemp("killed") / "all", killed=True)
