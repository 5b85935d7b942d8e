"""Pieces of work are claimed while there is room, and none that was claimed is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from engine.process.queue import Kind
from engine.worker.pool import Pool, Work

pytestmark = pytest.mark.anyio

NEVER = 3600.0
SOON = 0.01


class Supply:
    """Gives `pieces` of work, which last until `ended` is set."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.running = 0
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()
        self.ended = asyncio.Event()

    async def claim(self) -> Work | None:
        self.asked.set()
        await self.answer.wait()
        if not self.pieces:
            return None
        self.pieces -= 1
        return self.run

    async def run(self) -> None:
        self.running += 1
        await self.ended.wait()
        self.running -= 1


@asynccontextmanager
async def working(pool: Pool, seconds: float = NEVER) -> AsyncIterator[asyncio.Event]:
    stopping = asyncio.Event()
    task = asyncio.create_task(pool.work(stopping, seconds))
    try:
        yield stopping
    finally:
        stopping.set()
        pool.wake()
        await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_no_more_is_claimed_than_there_is_room_for() -> None:
    supply = Supply(5)
    async with working(Pool(Kind.JOBS, supply.claim, slots=2)):
        await until(lambda: supply.running == 2)
        assert supply.pieces == 3
        supply.ended.set()


async def test_an_ended_piece_makes_room_for_the_next() -> None:
    supply = Supply(5)
    supply.ended.set()
    async with working(Pool(Kind.JOBS, supply.claim, slots=1)):
        await until(lambda: supply.pieces == 0)


async def test_a_call_finds_what_has_come() -> None:
    supply = Supply(0)
    supply.ended.set()
    pool = Pool(Kind.JOBS, supply.claim, slots=1)
    async with working(pool):
        await supply.asked.wait()
        supply.pieces = 1
        pool.wake()
        await until(lambda: supply.pieces == 0)


async def test_without_a_call_it_looks_again_by_itself() -> None:
    supply = Supply(0)
    supply.ended.set()
    async with working(Pool(Kind.JOBS, supply.claim, slots=1), SOON):
        await supply.asked.wait()
        supply.pieces = 1
        await until(lambda: supply.pieces == 0)


async def test_a_claim_that_fails_is_tried_again() -> None:
    claims = 0

    async def claim() -> Work | None:
        nonlocal claims
        claims += 1
        raise ConnectionError

    async with working(Pool(Kind.JOBS, claim, slots=1), SOON):
        await until(lambda: claims > 2)


async def test_work_claimed_while_the_pool_stops_is_run_and_not_forgotten() -> None:
    supply = Supply(5)
    supply.answer.clear()
    pool = Pool(Kind.JOBS, supply.claim, slots=3)
    async with working(pool) as stopping:
        await supply.asked.wait()
        stopping.set()
        supply.answer.set()
        await until(lambda: supply.pieces < 5)
    await until(lambda: supply.running == 1)
    assert supply.pieces == 4
    supply.ended.set()
    await pool.finish(asyncio.Event(), patience=NEVER)
    assert supply.running == 0


async def test_work_beyond_the_grace_is_ended() -> None:
    supply = Supply(1)
    pool = Pool(Kind.JOBS, supply.claim, slots=1)
    async with working(pool):
        await until(lambda: supply.running == 1)
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(SOON, over.set)
    await pool.finish(over, patience=SOON)
    assert not supply.ended.is_set()
