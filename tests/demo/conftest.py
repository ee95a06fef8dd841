"""The built-in project, created once for all tests of this folder."""

import pytest

from inficond.core import Project
from inficond.core.demo import demo_project


@pytest.fixture(scope="package")
def project() -> Project:
    return Project.open(demo_project())
