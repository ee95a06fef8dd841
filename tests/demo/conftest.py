"""The built-in project, unpacked once for all tests of this folder."""

from collections.abc import Iterator

import pytest

from inficond.core import Project
from inficond.core.demo import demo_project


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFICOND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Project.open(demo_project())
