"""Each guard of the store is needed: without it, a test turns red."""

import pytest

from tests.proof.machines.mutants import CONTROLS, MUTANTS, Mutant
from tests.proof.machines.mutation import FAILED, PASSED, exit_codes
from tests.proof.machines.unfair import UNFAIR

pytestmark = pytest.mark.timeout(900)
"""All need 61 s of the processor, of which a machine with much to do gives each process a tenth."""


@pytest.fixture(scope="module")
def codes() -> dict[Mutant, int]:
    return exit_codes()


@pytest.mark.parametrize("mutant", MUTANTS + UNFAIR, ids=lambda mutant: mutant.module)
def test_a_missing_guard_is_noticed(codes: dict[Mutant, int], mutant: Mutant) -> None:
    assert codes[mutant] == FAILED, f"{mutant.test} does not notice"


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.module)
def test_with_all_guards_nothing_is_noticed(codes: dict[Mutant, int], control: Mutant) -> None:
    assert codes[control] == PASSED
