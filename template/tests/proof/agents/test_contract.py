"""Each event of every kind of agent's run, as clients need it; broken ones, which are seen."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import httpx
import pytest

from engine.models.wire import Json
from tests.proof.agents.scripted import script
from tests.proof.responses.contract import breaches, breaches_of_whole
from tests.proof.responses.test_contract import TEXT, events_of, never, without
from tests.service import service

BEGUN = (
    *("output_item.added", "mcp_call.in_progress", "mcp_call_arguments.delta"),
    "mcp_call_arguments.done",
)
DONE = ("mcp_call.completed", "output_item.done")
FAILED = ("mcp_call.failed", "output_item.done")
CALL = (*BEGUN, *DONE)
ASKED = ("output_item.added", "output_item.done")
BEGINNING = ("created", "queued", "in_progress")

LOOK_UP = ("look_up", {"order": 1})
UNKNOWN_ORDER = ("look_up", {"order": 4})
REFUND = ("refund", {"order": 1, "cents": 3})
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "text": (script("Hello you."), (*TEXT, "completed")),
    "call": (script([LOOK_UP], "It is there."), (*CALL, *TEXT, "completed")),
    "calls at once": (
        script([LOOK_UP, ("whose", {})], "They are there."),
        (*BEGUN, *BEGUN, *DONE, *DONE, *TEXT, "completed"),
    ),
    "calls in turn": (
        script([LOOK_UP], [UNKNOWN_ORDER], "One is there."),
        (*CALL, *BEGUN, *FAILED, *TEXT, "completed"),
    ),
    "wrong arguments": (
        script([("look_up", {"order": "x"})], "No."),
        (*BEGUN, *FAILED, *TEXT, "completed"),
    ),
    "unknown tool": (script([("fly", {})], "No."), (*BEGUN, *FAILED, *TEXT, "completed")),
    "approval": (script([REFUND], "It is paid."), (*ASKED, "completed")),
    "approval beside a call": (script([REFUND, LOOK_UP]), (*ASKED, *BEGUN, *DONE, "completed")),
    "the same again and again": (
        script([LOOK_UP]),
        (*CALL, *CALL, *CALL, *BEGUN, *FAILED, "incomplete"),
    ),
}
"""The script of each run, and the events that follow the first."""

CUT_OFF = (*BEGUN, *BEGUN, "output_item.done")  # one after the other counts once


@pytest.fixture(scope="module")
def http(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service with the agent `refunds`."""
    with service(
        tmp_path_factory.mktemp("agents"),
        redis_url,
        modules=Path("tests/proof/agents/modules"),
        model_provider="tests.proof.agents.scripted",
    ) as started:
        started.start("api", "worker")
        with started.http(started.new_key()) as client:
            yield client


def run(http: httpx.Client, **body: object) -> list[Json]:
    """Return the events of a run."""
    return events_of(http, model="refunds", **body)


def answered(http: httpx.Client, *, approve: bool) -> list[Json]:
    """Return the events of the run that goes on with the answer to a request for an approval."""
    asked = run(http, input=CASES["approval"][0])[-1]["response"]
    answer = {"approval_request_id": asked["output"][0]["id"], "approve": approve}
    given = [{"type": "mcp_approval_response", **answer}]
    return run(http, input=given, previous_response_id=asked["id"])


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_each_event_of_a_run_keeps_the_contract(
    http: httpx.Client, case: str, background: bool
) -> None:
    given, expected = CASES[case]
    events = run(http, input=given, background=background)
    assert breaches(events, (*BEGINNING, *expected)) == []


@pytest.mark.parametrize(("approve", "end"), [(True, DONE), (False, FAILED)])
def test_each_event_of_an_answered_approval_keeps_the_contract(
    http: httpx.Client, approve: bool, end: tuple[str, ...]
) -> None:
    events = answered(http, approve=approve)
    assert breaches(events, (*BEGINNING, *BEGUN, *end, *TEXT, "completed")) == []


def test_each_event_of_a_run_that_is_cut_off_keeps_the_contract(http: httpx.Client) -> None:
    two = script([("look_up", {"order": 1}), ("look_up", {"order": 2})], "Done.")
    events = run(http, input=two, max_tool_calls=1)
    assert breaches(events, (*BEGINNING, *CUT_OFF, "incomplete")) == []


@pytest.mark.parametrize("case", CASES)
def test_a_whole_run_keeps_the_contract(http: httpx.Client, case: str) -> None:
    given, expected = CASES[case]
    response = http.post("/v1/responses", json={"model": "refunds", "input": given}).json()
    assert breaches_of_whole(response) == []
    assert response["status"] == expected[-1]
    assert http.get(f"/v1/responses/{response['id']}").json() == response


ITEM_ADDED, ITEM_DONE = "output_item.added", "output_item.done"
FIELDS = ("id", "name", "server_label", "arguments")
TWINS: dict[str, Callable[[list[Json]], object]] = {
    **{f"no {name}": never(name) for name in dict.fromkeys((*BEGINNING, *CALL, "completed"))},
    **{
        f"no {name} of a call": without(ITEM_DONE, "item", name)
        for name in (*FIELDS, "status", "output", "error", "approval_request_id")
    },
    **{f"no {name} of a begun call": without(ITEM_ADDED, "item", name) for name in FIELDS},
    **{
        f"no {name} of {kind}": without(kind, name)
        for kind in (*BEGUN[1:], "mcp_call.completed")
        for name in ("item_id", "output_index", "sequence_number")
    },
    "no delta": without("mcp_call_arguments.delta", "delta"),
    "no arguments at their end": without("mcp_call_arguments.done", "arguments"),
    "no call in the output": lambda events: events[-1]["response"]["output"].pop(0),
}
"""What a run may lack, beside what any stream may."""


@pytest.fixture(scope="module")
def good(http: httpx.Client) -> list[Json]:
    """The events of an approved call and a text."""
    return answered(http, approve=True)


@pytest.mark.parametrize("twin", TWINS)
def test_a_broken_run_is_seen(good: list[Json], twin: str) -> None:
    broken = deepcopy(good)
    TWINS[twin](broken)
    assert breaches(broken, (*BEGINNING, *CALL, *TEXT, "completed"))


@pytest.mark.parametrize("name", FIELDS)
def test_a_broken_request_for_an_approval_is_seen(http: httpx.Client, name: str) -> None:
    events = run(http, input=CASES["approval"][0])
    for taking in (
        without(ITEM_DONE, "item", name),
        without("completed", "response", "output", "0", name),
    ):
        taking(events)
    assert breaches(events, (*BEGINNING, *ASKED, "completed"))
