"""A slow `def` handler with threads of its own takes none from the other `def` code."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event, get_ident
from typing import Annotated

import httpx
import pytest
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI

from app.main import create_app
from app.resources.lifespan import open_resources
from app.settings import Settings
from engine import deadline
from engine.errors import DeadlineExceeded
from engine.slots import own_threads as bulkhead
from engine.slots.own_threads import WAITING, own_threads
from tests.api.serving import serving

pytestmark = pytest.mark.anyio

CALLS, LIMIT = 40, 4
NAME = f"{__name__}.Library.call"


class Library:
    """A library whose calls return when the test says so."""

    def __init__(self) -> None:
        self.released, self._entered = Event(), list[int]()

    @property
    def running(self) -> int:
        """Calls that have begun, counted by what threads cannot lose."""
        return len(self._entered)

    def call(self) -> int:
        self._entered.append(get_ident())
        self.released.wait(30)
        return get_ident()


@pytest.fixture
def library() -> Iterator[Library]:
    slow = Library()
    yield slow
    slow.released.set()


def settings(folder: Path, framework_threads: int = 40) -> Settings:
    return Settings(
        _env_file=None,
        database_url=f"sqlite:///{folder / 'none.db'}",
        redis_url="none",
        model_provider="simulated",
        framework_threads=framework_threads,
    )


async def until(holds: Callable[[], object]) -> None:
    """Wait on the event loop until `holds()` is true."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@asynccontextmanager
async def asked(client: httpx.AsyncClient, path: str, times: int) -> AsyncIterator[None]:
    """Have so many requests under way; they are cancelled at the end."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(client.get(path)) for _ in range(times)]
        yield
        for call in calls:
            call.cancel()


def with_handlers(app: FastAPI, library: Library) -> FastAPI:
    """Return the app with a slow `def` handler in shared threads, one in its own, and a quick."""

    def shared() -> int:
        return library.call()

    def quick() -> str:
        return "quick"

    app.get("/shared")(shared)
    app.get("/own")(own_threads(LIMIT)(library.call))
    app.get("/quick")(quick)
    return app


async def test_forty_slow_calls_with_a_limit_of_four_leave_another_def_handler_its_threads(
    library: Library, tmp_path: Path
) -> None:
    app = with_handlers(create_app(settings(tmp_path)), library)
    async with serving(app) as client, asked(client, "/own", CALLS):
        limit = bulkhead.limits[NAME]
        await until(lambda: limit.waiting == CALLS - LIMIT and library.running == LIMIT)
        assert limit.taken == LIMIT
        assert (await client.get("/quick")).json() == "quick"
        told = (await client.get("/metrics")).text.splitlines()
        library.released.set()
    assert [line[-3:] for line in told if NAME in line and "_size" in line] == ["4.0"]


async def test_the_same_calls_in_the_frameworks_threads_hold_the_other_handler_up(
    library: Library, tmp_path: Path
) -> None:
    app = with_handlers(create_app(settings(tmp_path)), library)
    async with serving(app) as client, asked(client, "/shared", CALLS):
        await until(lambda: library.running == CALLS)
        quick = asyncio.create_task(client.get("/quick"))
        await until(lambda: current_default_thread_limiter().statistics().tasks_waiting == 1)
        library.released.set()
        assert (await quick).json() == "quick"


async def test_the_frameworks_threads_are_as_many_as_the_setting_says(tmp_path: Path) -> None:
    async with open_resources(settings(tmp_path, framework_threads=3)):
        assert current_default_thread_limiter().total_tokens == 3


async def test_a_call_beyond_the_line_is_refused_and_told_when_to_come_back(
    library: Library, tmp_path: Path
) -> None:
    app = with_handlers(create_app(settings(tmp_path)), library)
    room = LIMIT * (1 + WAITING)
    async with serving(app) as client, asked(client, "/own", room):
        limit = bulkhead.limits[NAME]
        await until(lambda: limit.taken + limit.waiting == room)
        refused = await client.get("/own")
        library.released.set()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_cancelled_callers_thread_counts_until_it_ends(library: Library) -> None:
    call = own_threads(1)(library.call)
    first = asyncio.create_task(call())
    await until(lambda: library.running)
    first.cancel()
    await asyncio.wait({first})
    second = asyncio.create_task(call())
    limit = bulkhead.limits[NAME]
    await until(lambda: limit.waiting)
    assert library.running == limit.taken == 1
    library.released.set()
    await second
    assert (library.running, limit.taken) == (2, 0)


async def test_a_request_ends_at_its_deadline_though_its_thread_does_not(
    library: Library, tmp_path: Path
) -> None:
    app = with_handlers(create_app(settings(tmp_path)), library)
    async with serving(app) as client:
        answer = await client.get("/own", headers={"x-request-timeout": "0.2"})
        limit = bulkhead.limits[NAME]
        assert (answer.status_code, library.running, limit.taken) == (504, 1, 1)
        library.released.set()


async def test_no_thread_begins_after_the_deadline(library: Library) -> None:
    token = deadline.ends_at.set(0.0)
    try:
        with pytest.raises(DeadlineExceeded):
            await own_threads(1)(library.call)()
    finally:
        deadline.ends_at.reset(token)
    assert library.running == 0


async def test_a_handler_and_a_dependency_keep_their_parameters_and_errors() -> None:
    app = FastAPI()

    @own_threads(1)
    def length(word: str) -> int:
        return len(word)

    @app.get("/")
    @own_threads(1)
    def endpoint(length: Annotated[int, Depends(length)], times: int = 2) -> dict[str, int]:
        return {"letters": length * times}

    async with serving(app) as client:
        assert (await client.get("/?word=four&times=3")).json() == {"letters": 12}
        assert (await client.get("/?times=x")).status_code == 422
    with pytest.raises(TypeError):
        await length(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["coroutine", "generator"])
async def test_what_does_not_return_from_one_thread_is_refused_when_it_is_decorated(
    kind: str,
) -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[None]:
        yield

    with pytest.raises(TypeError, match=r"`own_threads` takes a plain `def`"):
        own_threads(1)({"coroutine": coroutine, "generator": generator}[kind])


async def test_forty_waiting_def_handlers_keep_no_other_request_waiting(
    library: Library, tmp_path: Path
) -> None:
    app = create_app(settings(tmp_path, framework_threads=CALLS))
    app.get("/def")(library.call)
    async with serving(app) as client, asyncio.TaskGroup() as group:
        calls = [group.create_task(client.get("/def")) for _ in range(CALLS)]
        await until(lambda: library.running == CALLS)
        assert (await client.get("/live")).status_code == 200
        assert not any(call.done() for call in calls)
        library.released.set()
    assert {call.result().status_code for call in calls} == {200}
