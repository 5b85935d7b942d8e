"""A model call of a job or an item goes on no longer than the job or its batch may."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import BaseModel

from app.resources.lifespan import all_operations
from engine import deadline
from engine.batches.batches import BatchWork
from engine.batches.items import ClaimedItem, ItemOutcome
from engine.batches.lane_worker import LaneRun, Turn, attempt_item
from engine.batches.lanes import LaneHold
from engine.jobs import runs
from engine.jobs.jobs import Job
from engine.jobs.runner import Attempt
from engine.jobs.runs import Run
from engine.models.interface import Answer, ChatRequest, Usage
from engine.slots.redis_semaphore import Priority
from engine.work.retry_policy import failure_of
from tests.lines import CHAT_URL, chat_body
from tests.proof.models.asking import settings as configured

pytestmark = pytest.mark.anyio

WORK = BatchWork("caller", CHAT_URL, "file_a", "in_progress", "req_a", 3600.0)
ITEM = ClaimedItem(id=1, body=json.dumps(chat_body("Hello")).encode(), attempt=1, errors=0)


class Asked:
    """A model that notes how much time each call has left, and answers if it is told to."""

    def __init__(self, *, silent: bool = False) -> None:
        self.left: list[float | None] = []
        self.silent = silent

    async def complete(self, _request: ChatRequest, *_args: object) -> Answer:
        self.left.append(deadline.remaining())
        if self.silent:
            await asyncio.Event().wait()
        return Answer(b"{}", Usage())


def resources(model: Asked, **settings: float) -> Any:  # noqa: ANN401 -- stands for Resources
    unused = SimpleNamespace(write=dict)
    return SimpleNamespace(
        priority=Priority.BATCH,
        _upstreams={Priority.BATCH: model},
        tokenizer=None,
        usage=None,
        operations=all_operations(),
        jobs={},
        agents={},
        model_owners=None,
        settings=configured(**settings),
        database=unused,
    )


async def within(seconds: float, model: Asked) -> ItemOutcome:
    """Return what comes of an item whose batch expires in so many seconds."""
    deadline.shorten(seconds)
    return await attempt_item(resources(model, request_timeout=1000), WORK, ITEM)


async def test_an_item_has_less_where_its_batch_expires_before() -> None:
    model = Asked()
    outcome = await asyncio.create_task(within(50, model))
    assert outcome.status == "succeeded"
    assert model.left[0]
    assert 0 < model.left[0] <= 50


async def test_an_item_whose_time_is_out_may_be_tried_again() -> None:
    outcome = await asyncio.create_task(within(0.02, Asked(silent=True)))
    assert (outcome.status, outcome.error_code) == ("pending", "deadline_exceeded")


async def test_wherever_the_time_ran_out_it_is_the_same_failure() -> None:
    assert failure_of(deadline.out_of_time()) == failure_of(TimeoutError())


async def test_the_items_of_a_batch_are_given_its_time_and_the_batch_goes_on_without() -> None:
    model, recorded = Asked(), list[ItemOutcome]()

    async def claim(*_args: object) -> list[ClaimedItem]:
        return [ITEM]

    async def record(outcome: ItemOutcome) -> None:
        recorded.append(outcome)

    shared = resources(model, request_timeout=1000)
    shared.database = SimpleNamespace(write=claim)
    expires_at = asyncio.get_running_loop().time() + 50
    hold = LaneHold("batch", 0, 0, "owner")
    turn = Turn(cast("Any", None), hold, 1000.0)
    drain = LaneRun(shared, asyncio.Event(), hold, turn, WORK, expires_at, asked_at=0.0)
    started = await drain._start_items(cast("Any", SimpleNamespace(record=record)), 1)
    await asyncio.gather(*started)
    assert recorded[0].status == "succeeded"
    assert model.left[0]
    assert 0 < model.left[0] <= 50
    assert deadline.remaining() is None


class Nothing(BaseModel):
    """No subject."""


async def attempted(model: Asked, seconds: float) -> runs.JobOutcome:
    """Return what comes of a job that asks the model, with so many seconds until its deadline."""

    async def ask(run: Run, _subject: Nothing) -> None:
        await run.model.complete(ChatRequest.model_validate(chat_body("Hello")))

    claimed = runs.ClaimedJob(
        id="job",
        name="ask",
        caller_id=None,
        subject={},
        progress=None,
        request_id="req",
        traceparent=None,
        attempt=1,
        errors=0,
        seconds=seconds,
        owner="owner",
    )
    asked_at = asyncio.get_running_loop().time()
    return await Attempt(resources(model), claimed, Job("ask", Nothing, ask), asked_at).outcome()


async def test_a_jobs_calls_have_the_time_until_its_deadline() -> None:
    model = Asked()
    assert (await attempted(model, 50)).status == "succeeded"
    assert model.left[0]
    assert 0 < model.left[0] <= 50


@pytest.mark.parametrize("seconds", [0.02, 0.0])
async def test_a_job_whose_time_is_out_has_expired(seconds: float) -> None:
    assert (await attempted(Asked(silent=True), seconds)).status == "expired"


async def test_recording_a_job_is_not_bound_by_its_deadline() -> None:
    await attempted(Asked(), 50)
    assert deadline.remaining() is None
