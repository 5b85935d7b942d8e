"""Each broken twin is caught by the guards that it names, and no guard says a word of a good one.

The mark on the line of a bug (`twins`) is what the test expects.
"""

from pathlib import Path

import pytest

from tests.proof.doctor.guards import GUARDS, catches
from tests.proof.doctor.twins import BROKEN, GOOD, expected

TABLE = Path(__file__).with_name("README.md")


def name(twin: Path) -> str:
    return twin.stem


@pytest.mark.parametrize("twin", BROKEN, ids=name)
def test_a_broken_twin_is_caught_where_it_is_broken(twin: Path) -> None:
    marks = expected(twin)
    assert marks, f"{twin} does not say who catches it"
    said = {catch for guard in GUARDS for catch in catches(guard) if catch.path == twin}
    assert not marks - said, f"Said was: {sorted(said)}"


@pytest.mark.parametrize("twin", BROKEN, ids=name)
def test_a_broken_twin_stands_in_the_table_of_guards(twin: Path) -> None:
    assert f"`{twin.stem}`" in TABLE.read_text()


@pytest.mark.parametrize("twin", GOOD, ids=name)
def test_a_good_twin_is_left_alone(twin: Path) -> None:
    assert not [catch for guard in GUARDS for catch in catches(guard) if catch.path == twin]
