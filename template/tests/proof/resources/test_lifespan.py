"""Resources open in order and close in reverse, whatever one of them does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import pytest

from app.resources.lifespan import open_resources
from app.settings import Settings
from engine.errors import OpenError
from engine.resources import Opening
from tests.leaks import nothing_left

pytestmark = pytest.mark.anyio

LIMIT = 0.05


class Events(list[str]):
    """What fake resources did, in order."""

    @asynccontextmanager
    async def resource(self, name: str) -> AsyncIterator[str]:
        self.append(f"open {name}")
        yield name
        self.append(f"close {name}")

    @asynccontextmanager
    async def unopenable(self) -> AsyncIterator[None]:
        raise ValueError("no such server; start one")
        yield

    @asynccontextmanager
    async def slow_to_open(self) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    @asynccontextmanager
    async def failing_at_its_end(self) -> AsyncIterator[None]:
        yield
        raise ValueError("broken on purpose")

    @asynccontextmanager
    async def hanging_at_its_end(self) -> AsyncIterator[None]:
        yield
        await asyncio.Event().wait()


@pytest.fixture
def events() -> Events:
    return Events()


def opening(stack: AsyncExitStack) -> Opening:
    return Opening(stack, Settings(_env_file=None, open_timeout=LIMIT, close_timeout=LIMIT))


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(OpenError, match=reason):
        yield


async def test_an_opened_resource_is_handed_out(events: Events) -> None:
    async with AsyncExitStack() as stack:
        assert await opening(stack).enter("first", events.resource("first")) == "first"


async def test_the_first_resource_closes_last(events: Events) -> None:
    async with AsyncExitStack() as stack:
        for name in ("first", "second"):
            await opening(stack).enter(name, events.resource(name))
    assert events == ["open first", "open second", "close second", "close first"]


async def test_an_open_resource_is_closed_when_a_later_one_fails(events: Events) -> None:
    with suppress(OpenError):
        async with AsyncExitStack() as stack:
            await opening(stack).enter("first", events.resource("first"))
            await opening(stack).enter("second", events.unopenable())
    assert events == ["open first", "close first"]


async def test_the_error_names_the_resource_and_its_reason(events: Events) -> None:
    with refused("second could not be opened: no such server; start one"):
        async with AsyncExitStack() as stack:
            await opening(stack).enter("second", events.unopenable())


async def test_a_resource_has_a_time_limit_to_open(events: Events) -> None:
    with refused(f"second did not open within {LIMIT:g} s"):
        async with asyncio.timeout(30), AsyncExitStack() as stack:
            await opening(stack).enter("second", events.slow_to_open())


async def test_a_resource_that_fails_to_close_does_not_keep_others_open(events: Events) -> None:
    async with AsyncExitStack() as stack:
        await opening(stack).enter("first", events.resource("first"))
        await opening(stack).enter("second", events.failing_at_its_end())
    assert events == ["open first", "close first"]


async def test_a_resource_that_hangs_at_its_end_does_not_keep_others_open(events: Events) -> None:
    async with asyncio.timeout(30), AsyncExitStack() as stack:
        await opening(stack).enter("first", events.resource("first"))
        await opening(stack).enter("second", events.hanging_at_its_end())
    assert events == ["open first", "close first"]


@pytest.mark.parametrize("end", ["failing_at_its_end", "hanging_at_its_end"])
async def test_a_bad_end_is_logged_with_its_name(
    events: Events, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(30), AsyncExitStack() as stack:
        await opening(stack).enter("second", getattr(events, end)())
    assert "second did not close well" in caplog.text


async def test_a_cancelled_start_closes_what_was_opened(events: Events) -> None:
    async def start() -> None:
        async with AsyncExitStack() as stack:
            patient = Opening(stack, Settings(_env_file=None))
            await patient.enter("first", events.resource("first"))
            await patient.enter("second", events.slow_to_open())

    starting = asyncio.create_task(start())
    async with asyncio.timeout(30):
        while "open first" not in events:  # noqa: ASYNC110
            await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait({starting})
    assert starting.cancelled()
    assert events == ["open first", "close first"]


async def test_an_unreachable_database_is_named() -> None:
    settings = Settings(_env_file=None, database_url="sqlite:///no/such/folder/app.db")
    with refused("^database could not be opened: .*unable to open database file"):
        async with open_resources(settings):
            pass


async def test_an_unknown_model_provider_is_named() -> None:
    settings = Settings(_env_file=None, database_url="sqlite:///app.db", model_provider="nobody")
    with refused("^model could not be opened: .*nobody"):
        async with open_resources(settings):
            pass


async def test_background_tasks_end_while_the_database_is_open() -> None:
    settings = Settings(_env_file=None, database_url="sqlite:///app.db", model_provider="simulated")
    answers = []

    async with open_resources(settings) as resources:

        async def ask_late() -> None:
            await asyncio.sleep(0.01)
            answers.append(await resources.database.read(lambda _session: "still open"))

        resources.background.spawn(ask_late)
    assert answers == ["still open"]


async def test_closed_resources_leave_no_task_and_no_thread() -> None:
    settings = Settings(_env_file=None, database_url="sqlite:///app.db", model_provider="simulated")
    async with nothing_left(), open_resources(settings):
        pass
