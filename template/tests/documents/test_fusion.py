"""Ranks are fused by their weights."""

from hypothesis import given
from hypothesis import strategies as st

from engine.documents.fusion import TEXT_WEIGHT, K, fuse_ranks

RANKINGS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 3.0]), st.lists(st.integers(0, 9), unique=True, max_size=8)
    ),
    max_size=4,
)


@given(RANKINGS)
def test_each_thing_has_the_sum_of_its_ranks(rankings: list[tuple[float, list[int]]]) -> None:
    def sum_of(thing: int) -> float:
        return sum(
            weight / (K + ranking.index(thing) + 1)
            for weight, ranking in rankings
            if thing in ranking
        )

    fused = fuse_ranks(rankings)
    assert sorted(fused) == sorted(
        {each for weight, ranking in rankings if weight for each in ranking}
    )
    assert [sum_of(each) for each in fused] == sorted(map(sum_of, fused), reverse=True)


def test_a_ranking_without_weight_adds_nothing() -> None:
    assert fuse_ranks([(1.0, "ab"), (0.0, "bcd")]) == ["a", "b"]


def test_the_first_of_one_order_comes_before_the_middle_of_both() -> None:
    vectors = ["best", *(f"v{number}" for number in range(18)), "middle"]
    words = [*(f"w{number}" for number in range(19)), "middle"]
    assert fuse_ranks([(1.0, vectors), (TEXT_WEIGHT, words)])[0] == "best"
