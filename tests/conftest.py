"""What every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs (INFICOND_TEST_DATA, or `shared/data` beside the repository)."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("INFICOND_TEST_DATA", default))
    if not (folder / "scenes" / "labels.csv").is_file():
        pytest.skip("needs the real photographs: set INFICOND_TEST_DATA to their folder")
    return folder
