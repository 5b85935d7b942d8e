"""Usage gathers in memory, and one transaction writes the sums."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

import pytest

from engine.callers.usage import Tally, UsageBuffer
from engine.models.interface import ChatRequest, Message, Usage
from engine.process.tasks import Background, open_background
from tests.service import LIMIT

pytestmark = pytest.mark.anyio

CHAT = ChatRequest(model="small", messages=[Message(role="user", content="Hello")])
PROMPT = 7


class Database:
    """Keeps each transaction's sums."""

    def __init__(self) -> None:
        self.written: list[Sequence[Tally]] = []
        self.wrote = asyncio.Event()

    async def write(self, _fn: object, sums: Sequence[Tally]) -> None:
        self.written.append(sums)
        self.wrote.set()


class Tokenizer:
    """Every text has as many tokens."""

    async def count(self, _text: str) -> int:
        return PROMPT


@pytest.fixture
def database() -> Database:
    return Database()


def buffer(database: Database, background: Background) -> UsageBuffer:
    return UsageBuffer(cast("Any", database), cast("Any", Tokenizer()), background)


async def test_calls_that_end_together_are_one_transaction_of_sums_in_order(
    database: Database,
) -> None:
    async with open_background(limit=1, grace=LIMIT) as background:
        usage = buffer(database, background)
        for caller in ("caller_b", "caller_a", "caller_b"):
            usage.count(caller, "small", Usage(1, 2))
    sums = [
        Tally("caller_a", "small", 1, Usage(1, 2)),
        Tally("caller_b", "small", 2, Usage(2, 4)),
    ]
    assert database.written == [sums]


async def test_sums_that_were_written_are_not_written_again(database: Database) -> None:
    usage = buffer(database, Background(0))
    for used in (Usage(1, 2), Usage(3, 4)):
        async with open_background(limit=1, grace=LIMIT) as usage.background:
            usage.count("caller_a", "small", used)
    assert database.written == [
        [Tally("caller_a", "small", 1, Usage(1, 2))],
        [Tally("caller_a", "small", 1, Usage(3, 4))],
    ]


async def test_an_unfinished_call_costs_its_prompt_and_what_was_generated(
    database: Database,
) -> None:
    async with open_background(limit=2, grace=LIMIT) as background:
        buffer(database, background).count_unfinished("caller_a", "small", CHAT, 3)
        await database.wrote.wait()
    assert database.written == [[Tally("caller_a", "small", 1, Usage(PROMPT, 3))]]


async def test_counts_without_room_are_dropped_with_a_warning_and_later_ones_written(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    usage = buffer(database, Background(0))
    with caplog.at_level(logging.WARNING):
        usage.count("caller_a", "small", Usage(1, 2))
        usage.count_unfinished("caller_a", "small", CHAT, 3)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    async with open_background(limit=1, grace=LIMIT) as background:
        usage.background = background
        usage.count("caller_a", "small", Usage(5, 6))
    assert database.written == [[Tally("caller_a", "small", 1, Usage(5, 6))]]
