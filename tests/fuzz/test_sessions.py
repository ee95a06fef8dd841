"""Random sequences of steps on sessions, checked by the state machine of `machine`."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.fuzz.harness import NIGHTLY_CASES, Tally
from tests.fuzz.machine import machine
from tests.fuzz.workshop import Workshop

NIGHT = int(os.environ.get("INFICOND_FUZZ_CASES", NIGHTLY_CASES)) // 400
"""Sequences of a nightly run."""


def run(
    shop: Workshop, link: str, sequences: int, steps: int, repeatable: bool, shrink: bool = True
) -> Tally:
    """Run sequences of up to `steps` steps."""
    tally = Tally(f"sessions, {link}")
    how = settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=repeatable,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        print_blob=False,
    )
    with tally.counting():
        run_state_machine_as_test(machine(shop, link, tally), settings=how)
    return tally


@pytest.mark.parametrize(("link", "sequences"), [("sigmoid", 40), ("softmax", 16)])
def test_random_sequences_of_steps(workshop: Workshop, link: str, sequences: int) -> None:
    tally = run(workshop, link, sequences, 25, repeatable=True)
    assert tally.cases >= sequences
    assert tally.steps > 5 * sequences


@pytest.mark.nightly
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_random_sequences_of_steps_nightly(workshop: Workshop, link: str) -> None:
    wanted = max(1, NIGHT if link == "sigmoid" else NIGHT // 3)
    tally = run(workshop, link, wanted, 50, repeatable=False)
    assert tally.cases >= wanted
