"""Small work after the answer: bounded, awaited at the end, and without harm when it fails."""

import asyncio

import pytest

from engine.errors import Overloaded
from engine.process.tasks import Background, open_background

pytestmark = pytest.mark.anyio


async def nothing() -> None:
    pass


async def fail() -> None:
    raise ValueError("broken on purpose")


async def test_closing_waits_for_what_runs() -> None:
    ended = []

    async def work(name: str) -> None:
        await asyncio.sleep(0.01)
        ended.append(name)

    async with open_background(limit=2, grace=10) as background:
        background.spawn(work, "first")
        background.spawn(work, name="second")
    assert sorted(ended) == ["first", "second"]


async def test_a_task_beyond_the_grace_is_cancelled_and_awaited() -> None:
    cancelled = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async with asyncio.timeout(10), open_background(limit=1, grace=0.01) as background:
        background.spawn(work)
        await asyncio.sleep(0)
    assert cancelled


async def test_one_too_many_is_refused() -> None:
    async with open_background(limit=1, grace=0) as background:
        background.spawn(asyncio.Event().wait)
        with pytest.raises(Overloaded):
            background.spawn(nothing)


async def test_an_ended_task_makes_room() -> None:
    async with open_background(limit=1, grace=0) as background, asyncio.timeout(10):
        background.spawn(nothing)
        while len(background):  # noqa: ASYNC110
            await asyncio.sleep(0)
        background.spawn(nothing)


async def test_a_stopping_process_takes_no_more_work() -> None:
    background = Background(limit=1)
    await background.close(grace=0)
    with pytest.raises(Overloaded):
        background.spawn(nothing)


async def test_an_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with open_background(limit=1, grace=10) as background:
        background.spawn(fail)
    assert "background task fail failed" in caplog.text
    assert "broken on purpose" in caplog.text


async def test_an_error_stops_neither_the_next_task_nor_the_end() -> None:
    ended = []

    async def work() -> None:
        ended.append(True)

    async with open_background(limit=2, grace=10) as background:
        background.spawn(fail)
        background.spawn(work)
    assert ended
