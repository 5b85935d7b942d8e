"""Lines are the same wherever the pieces of their file are cut; none too long is held."""

from hypothesis import given
from hypothesis import strategies as st

from engine.batches.batch_input import LineSplitter


def split(pieces: list[bytes], longest: int = 1000) -> list[bytes]:
    splitter = LineSplitter(longest)
    return [line for piece in pieces for line in splitter.feed(piece)] + splitter.end()


@given(st.lists(st.text("ab\n", max_size=20).map(str.encode)))
def test_lines_are_those_of_the_whole_file(pieces: list[bytes]) -> None:
    assert split(pieces) == b"".join(pieces).split(b"\n")


@given(st.lists(st.text("ab\n", max_size=20).map(str.encode)), st.integers(0, 5))
def test_a_line_that_is_too_long_is_cut_to_one_byte_more(pieces: list[bytes], most: int) -> None:
    whole = b"".join(pieces).split(b"\n")
    assert split(pieces, most) == [line[: most + 1] for line in whole]


def test_a_file_without_line_breaks_is_not_held() -> None:
    splitter = LineSplitter(longest=100)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) == []
        assert len(splitter._begun) <= 101
