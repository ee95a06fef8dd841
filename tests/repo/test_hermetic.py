"""The tests hold whatever lies in the home, the cache and the temporary folder."""

import pytest
from tests.tools.hermetic import STATES, TESTS, can_be_read_only, run


@pytest.mark.nightly
@pytest.mark.parametrize("state", STATES)
def test_tests_do_not_depend_on_folders_of_the_account(state: str) -> None:
    if state == "read-only" and not can_be_read_only():
        pytest.skip("needs an account other than root, or the right to mount")
    assert run(state, list(TESTS)) == 0
