"""Which cases run on every commit, and which only where all of them are wanted."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

T = TypeVar("T")


def one_of_each(cases: Iterable[T], kind: Callable[[T], Hashable]) -> list[ParameterSet]:
    """Return the cases as parameters: all but the first of each kind are `thorough`."""
    seen: set[Hashable] = set()
    parameters = []
    for case in cases:
        marks = [pytest.mark.thorough] if kind(case) in seen else []
        seen.add(kind(case))
        values = case if isinstance(case, tuple) else (case,)
        parameters.append(pytest.param(*values, marks=marks))
    return parameters
