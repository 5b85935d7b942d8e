"""Files that take long are begun first: an old name of one would leave it for the end."""

from tests.proof.conftest import LONGEST
from tests.service import PROJECT


def test_each_of_the_longest_is_there() -> None:
    paths = [path.as_posix() for path in (PROJECT / "tests" / "proof").rglob("test_*.py")]
    assert [part for part in LONGEST if not any(part in path for path in paths)] == []
