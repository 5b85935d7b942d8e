"""Poison items: one kills its worker again and again, or runs longer than each deploy."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from openai import OpenAI
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.sql.tables import ItemRow
from tests.jobs.batches import completed, submit
from tests.service import Program, Service, eventually, service
from tests.upstream import serving_in_thread

HELD = "Say 3"
"""What the model thinks about for ever."""

DEPLOYS = 5


class Thinking:
    """A model that holds one question, and notes the keys of those who ask it.

    While it is `slow`, it holds the others too.
    """

    def __init__(self) -> None:
        self.askers: list[str] = []
        self.others = 0
        self.done = False
        self.slow = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer at once, or not until `done`."""
        if request.method == "GET":  # the list of models, which tells that the server is there
            return web.json_response({"object": "list", "data": []})
        question = (await request.json())["messages"][0]["content"]
        if question == HELD:
            self.askers.append(request.headers["authorization"].removeprefix("Bearer "))
            while not self.done:  # noqa: ASYNC110 -- set by another thread
                await asyncio.sleep(0.02)
        self.others += question != HELD
        while self.slow:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return web.json_response({"choices": [{"message": {"content": question}}]})


@pytest.fixture
def model() -> Thinking:
    return Thinking()


@pytest.fixture
def lease_seconds() -> float:
    """Short, since who takes a dead worker's items over waits for the end of its lease."""
    return 2


@pytest.fixture
def running(
    redis_url: str, tmp_path: Path, model: Thinking, lease_seconds: float
) -> Iterator[Service]:
    """An API and a worker for each fate, each of which tells the model its name as its key."""
    with (
        serving_in_thread(model.answer) as url,
        service(
            tmp_path,
            redis_url,
            model_provider="openai",
            openai_base_url=url,
            lease_seconds=lease_seconds,
            sweep_seconds=0.2,
            shutdown_grace=0.2,
            batch_attempts=2,
            batch_crashes=2,
        ) as ready,
    ):
        yield ready


@pytest.fixture
def client(running: Service) -> Iterator[OpenAI]:
    with running.client(running.new_key()) as official:
        yield official


def item(session: Session) -> ItemRow:
    return session.scalars(select(ItemRow).where(ItemRow.custom_id == "item-3")).one()


def holder(running: Service, model: Thinking, turn: int) -> Program:
    """Return the worker that asks for the `turn`-th time, from 0, and that now waits."""
    eventually(lambda: len(model.askers) > turn)
    assert len(model.askers) == turn + 1
    return next(each for each in running.programs if each.name == model.askers[turn])


def start(running: Service, workers: int) -> None:
    running.start("api", *["worker"] * workers, OPENAI_API_KEY="{name}")


@pytest.mark.parametrize("lease_seconds", [60])
def test_five_deploys_in_a_row_cost_an_item_nothing(
    running: Service, client: OpenAI, model: Thinking
) -> None:
    """None waits for a lease, however long: what a stopping worker gives back is free at once.

    A lease of 2 s ran out on a loaded machine, which is a crash and no deploy.
    """
    start(running, DEPLOYS + 1)
    batch = submit(client, 5)
    for turn in range(DEPLOYS):
        assert holder(running, model, turn).stop() == 0
    holder(running, model, DEPLOYS)
    model.done = True
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    row = running.in_database(item)
    assert (row.status, row.errors, row.crashes) == ("succeeded", 0, 0)
    assert completed(client, batch) == 5


def test_an_item_that_kills_its_workers_is_given_up_and_the_others_are_not(
    running: Service, client: OpenAI, model: Thinking
) -> None:
    start(running, 3)
    batch = submit(client, 5)
    for turn in range(2):
        worker = holder(running, model, turn)
        eventually(lambda: completed(client, batch) == 4)
        worker.stop(signal.SIGKILL)
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    row = running.in_database(item)
    assert (row.status, row.error_code) == ("failed", "worker_crashed")
    assert (row.crashes, row.errors) == (2, 0)
    assert len(model.askers) == 2
    assert completed(client, batch) == 4


def test_an_item_that_kills_its_workers_takes_none_in_flight_beside_it_along(
    running: Service, client: OpenAI, model: Thinking
) -> None:
    start(running, 3)
    model.slow = True
    batch = submit(client, 5)
    first = holder(running, model, 0)
    eventually(lambda: model.others == 4)
    first.stop(signal.SIGKILL)
    model.slow = False
    holder(running, model, 1).stop(signal.SIGKILL)
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    assert running.in_database(item).error_code == "worker_crashed"
    assert completed(client, batch) == 4
