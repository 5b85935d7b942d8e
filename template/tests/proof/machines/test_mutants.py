"""Each guard of the store is needed: without it, a test turns red."""

from typing import TypeGuard

import pytest

from tests.proof.machines.mutants import CONTROLS, MUTANTS, Mutant
from tests.proof.machines.mutation import FAILED, PASSED, exit_codes
from tests.proof.machines.unfair import UNFAIR
from tests.proof.thorough import one_of_each

pytestmark = pytest.mark.timeout(900)
"""All need 61 s of the processor, of which a machine with much to do gives each process a tenth."""


@pytest.fixture(scope="module")
def codes(request: pytest.FixtureRequest) -> dict[Mutant, int]:
    """What came of the mutants that this run wants."""
    chosen = (item.callspec.params.values() for item in request.session.items if _is_here(item))
    return exit_codes([each for values in chosen for each in values if isinstance(each, Mutant)])


def _is_here(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and item.module.__name__ == __name__


def kind(mutant: Mutant) -> tuple[str, str]:
    """Return what one mutant of is enough on every commit: a file of tests, a file of the app."""
    return mutant.test.partition(".")[0], mutant.module


@pytest.mark.parametrize(
    "mutant", one_of_each(MUTANTS + UNFAIR, kind), ids=lambda mutant: mutant.module
)
def test_a_missing_guard_is_noticed(codes: dict[Mutant, int], mutant: Mutant) -> None:
    assert codes[mutant] == FAILED, f"{mutant.test} does not notice"


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.module)
def test_with_all_guards_nothing_is_noticed(codes: dict[Mutant, int], control: Mutant) -> None:
    assert codes[control] == PASSED
