"""Fuzzing of all parsers: an input is read to a valid result, or refused in one line."""

import os
from pathlib import Path

import pytest
from tests.fuzz.harness import CI_CASES, NIGHTLY_CASES, fuzz
from tests.fuzz.parsers import MAKERS, parser_of
from tests.fuzz.workshop import Workshop

NIGHT = int(os.environ.get("INFICOND_FUZZ_CASES", NIGHTLY_CASES))


def share(name: str, all_cases: int) -> int:
    """Return the number of cases of a parser."""
    total = sum(weight for _, weight in MAKERS.values())
    return max(1, -int(-all_cases * MAKERS[name][1] // total))


@pytest.mark.parametrize("name", MAKERS)
def test_inputs(name: str, workshop: Workshop, tmp_path: Path) -> None:
    wanted = share(name, CI_CASES)
    tally = fuzz(parser_of(name, workshop), wanted, tmp_path, repeatable=True)
    assert tally.cases >= wanted


@pytest.mark.nightly
@pytest.mark.parametrize("name", MAKERS)
def test_inputs_nightly(name: str, workshop: Workshop, tmp_path: Path) -> None:
    wanted = share(name, NIGHT)
    tally = fuzz(parser_of(name, workshop), wanted, tmp_path, repeatable=False)
    assert tally.cases >= wanted
