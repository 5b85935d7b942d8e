"""The limits of a run: each ends it, or cuts off what is too much, and says so."""

from collections.abc import Callable

import httpx
import pytest

from engine.agents.tools import IN_DOUBT
from tests.proof.agents.errands import (
    Json,
    ask,
    begin,
    calls,
    effects,
    ended,
    said,
    steps_of,
)
from tests.proof.agents.scripted import Turn
from tests.service import Service, eventually

SAME = [("number", {"n": 1})]


def numbers(first: int, count: int) -> Turn:
    return [("number", {"n": n}) for n in range(first, first + count)]


def one_by_one(turns: int) -> list[Turn]:
    return [numbers(n, 1) for n in range(turns)]


@pytest.mark.parametrize(
    ("turns", "more", "reason", "run"),
    [
        ([numbers(0, 5), numbers(5, 5)], {}, "max_messages", 5),  # 12 of 10 steps
        (one_by_one(9), {}, "max_output_tokens", 4),  # 44 of 36 tokens
        (one_by_one(9), {"max_tool_calls": 2}, "max_messages", 2),
        (one_by_one(9), {"max_output_tokens": 2}, "max_output_tokens", 2),
    ],
    ids=["steps", "tokens", "max_tool_calls", "max_output_tokens"],
)
@pytest.mark.usefixtures("place")
def test_a_limit_ends_the_run(
    http: httpx.Client, turns: list[Turn], more: Json, reason: str, run: int
) -> None:
    response = ask(http, *turns, "Done.", model="limited", **more)
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": reason}
    states = [each["status"] for each in calls(response)]
    assert states == ["completed"] * run + ["incomplete"] * (len(states) - run)


@pytest.mark.usefixtures("place")
def test_a_run_whose_time_is_over_ends_in_mid_call(http: httpx.Client) -> None:
    response = ask(http, [("linger", {})], "Done.", model="hasty")
    assert response["incomplete_details"] == {"reason": "max_messages"}
    assert [each["status"] for each in calls(response)] == ["incomplete"]
    after = ask(http, "?", model="hasty", previous_response_id=response["id"])
    assert "It is not known whether this was done" in said(after)


@pytest.mark.usefixtures("place")
def test_the_model_is_told_later_of_calls_that_were_not_run(http: httpx.Client) -> None:
    response = ask(http, [("number", {"n": n}) for n in range(12)], model="limited")
    after = ask(http, "?", model="limited", previous_response_id=response["id"])
    assert said(after).count("This was not run") == 12


@pytest.mark.usefixtures("place")
def test_a_long_output_is_cut_off_between_two_letters(http: httpx.Client) -> None:
    response = ask(http, [("letters", {"count": 40_000})], "Done.", model="limited")
    (call,) = calls(response)
    output, note = call["output"].split("\n")
    assert output == "é" * 32_768
    assert "80000" in note


@pytest.mark.usefixtures("place")
def test_a_call_that_is_asked_for_again_is_told_so_and_then_ends_the_run(
    http: httpx.Client,
) -> None:
    response = ask(http, SAME, SAME, SAME, SAME, "Done.", model="limited", max_output_tokens=99)
    assert response["incomplete_details"] == {"reason": "max_messages"}
    outputs = [each["output"] for each in calls(response)]
    assert outputs[:2] == ["1", "1"]
    assert "asked before" in outputs[2]
    assert "again and again" in outputs[3]


@pytest.mark.usefixtures("place")
def test_another_call_in_between_makes_it_none_of_the_same(http: httpx.Client) -> None:
    response = ask(http, SAME, SAME, numbers(2, 1), "Done.", model="limited")
    assert [each["output"] for each in calls(response)] == ["1", "1", "2"]
    assert said(response) == "Done."


def test_a_tool_that_gives_up_by_a_cancellation_of_its_own_has_failed(
    place: Service, http: httpx.Client
) -> None:
    response = ask(http, [("give_up", {}), ("look_up", {"order": 1})], "Done.")
    assert said(response) == "Done."
    assert [each["status"] for each in calls(response)] == ["failed", "completed"]
    assert len(effects(place, "give_up")) == 1


def surviving(place: Service, http: httpx.Client, response_id: str) -> Callable[[], object]:
    """Return whether a run has ended, with a new worker for each that has died."""

    def has_ended() -> bool:
        if not place.workers():
            place.start("worker", BATCH_CRASHES="3")
        state = http.get(f"/v1/responses/{response_id}").json()["status"]
        return state not in ("queued", "in_progress")

    return has_ended


def test_a_run_that_kills_its_workers_has_failed(place: Service, http: httpx.Client) -> None:
    response_id = begin(http, numbers(1, 1), [("die", {})], "Done.", model="limited")
    eventually(surviving(place, http, response_id))
    response = ended(http, response_id)
    assert response["status"] == "failed"
    assert "died 3 times" in response["error"]["message"]
    assert [each["output"] for each in calls(response)] == ["1", IN_DOUBT]
    steps = place.in_database(steps_of, response_id)
    assert steps[-1] == ("die", "running", 3)


def test_a_run_that_comes_on_between_crashes_is_no_poison(
    place: Service, http: httpx.Client
) -> None:
    """Each of four calls dies with its first worker."""
    turns = [[("die_once", {"n": n})] for n in range(4)]
    response_id = begin(http, *turns, "Done.")
    eventually(surviving(place, http, response_id))
    assert said(ended(http, response_id)) == "Done."
    by_key: dict[str, list[int]] = {}
    for each in effects(place, "die_once"):
        by_key.setdefault(each.key, []).append(each.attempt)
    assert len(by_key) == 4
    assert all(attempts[:2] == [1, 2] for attempts in by_key.values())
