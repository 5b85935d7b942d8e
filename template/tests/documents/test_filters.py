"""Filters mean what a plain reading of them means."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.documents.filters import MOST_DEPTH, MOST_PARTS, read_filter
from engine.errors import InvalidRequest

KEYS = st.sampled_from(["team", "year", "open"])
NUMBERS = st.integers(-2, 2) | st.sampled_from([-0.5, 0.0, 1.0, 1.5])
VALUES = st.booleans() | NUMBERS | st.sampled_from(["", "a", "b", "1"])
SINGLE = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
        "key": KEYS,
        "value": VALUES,
    }
)
LISTED = st.fixed_dictionaries(
    {"type": st.sampled_from(["in", "nin"]), "key": KEYS, "value": st.lists(VALUES, max_size=3)}
)
FILTERS = st.recursive(
    SINGLE | LISTED,
    lambda inner: st.fixed_dictionaries(
        {
            "type": st.sampled_from(["and", "or"]),
            "filters": st.lists(inner, min_size=1, max_size=3),
        }
    ),
    max_leaves=8,
)


def kind(value: object) -> str:
    """Return what a value can be compared with."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def plain(wanted: dict[str, Any], attributes: dict[str, Any]) -> bool:
    """Return whether a file meets a filter, said as simply as can be."""
    if wanted["type"] in ("and", "or"):
        answers = [plain(each, attributes) for each in wanted["filters"]]
        return False not in answers if wanted["type"] == "and" else True in answers
    if wanted["type"] in ("ne", "nin"):
        return not plain({**wanted, "type": {"ne": "eq", "nin": "in"}[wanted["type"]]}, attributes)
    if wanted["key"] not in attributes:
        return False
    one, other = attributes[wanted["key"]], wanted["value"]
    if wanted["type"] == "in":
        return any(kind(one) == kind(each) and one == each for each in other)
    return (
        kind(one) == kind(other)
        and {
            "eq": one == other,
            "gt": one > other,
            "gte": one >= other,
            "lt": one < other,
            "lte": one <= other,
        }[wanted["type"]]
    )


@given(FILTERS, st.dictionaries(KEYS, VALUES))
def test_a_filter_means_what_a_plain_reading_means(
    wanted: dict[str, Any], attributes: dict[str, Any]
) -> None:
    assert read_filter(wanted)(attributes) is plain(wanted, attributes)


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        pytest.param("team", "filters.type", id="no object"),
        pytest.param({"type": "like"}, "filters.type", id="unknown"),
        pytest.param({"type": ["eq"]}, "filters.type", id="no name"),
        pytest.param({"type": "and", "filters": []}, "filters.filters", id="empty"),
        pytest.param({"type": "or", "filters": {"a": 1}}, "filters.filters", id="no list"),
        pytest.param({"type": "eq", "key": 1, "value": 1}, "filters.key", id="no key"),
        pytest.param({"type": "eq", "key": "a"}, "filters.value", id="no value"),
        pytest.param({"type": "eq", "key": "a", "value": [1]}, "filters.value", id="a list"),
        pytest.param({"type": "in", "key": "a", "value": 1}, "filters.value", id="not a list"),
        pytest.param({"type": "in", "key": "a", "value": [{}]}, "filters.value", id="objects"),
        pytest.param(
            {"type": "and", "filters": [{"type": "eq", "key": "a"}]},
            "filters.filters[0].value",
            id="inside",
        ),
    ],
)
def test_a_malformed_filter_names_its_place(wanted: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_filter(wanted)
    assert caught.value.param == param


def test_a_filter_has_limits() -> None:
    leaf = {"type": "eq", "key": "a", "value": 1}
    deep: dict[str, Any] = leaf
    for _ in range(MOST_DEPTH):
        deep = {"type": "and", "filters": [deep]}
    for each in (deep, {"type": "or", "filters": [leaf] * MOST_PARTS}):
        with pytest.raises(InvalidRequest, match="A filter may have"):
            read_filter(each)


def test_a_number_that_has_no_order_meets_no_order() -> None:
    wanted = {"type": "gte", "key": "a", "value": 1}
    assert not read_filter(wanted)({"a": math.nan})
