"""The event log of background responses: groups of events in SQL, which any process can replay.

A worker appends, fenced by its claim of the job: it may have lost it to another one. A reader asks
for the events after a number, now and again after each bit of news.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.errors import InvalidRequest
from engine.jobs.runs import Run, require_run
from engine.models.interface import Chunk
from engine.models.wire import Json
from engine.process.pubsub import News
from engine.process.tasks import end_tasks
from engine.responses import store
from engine.responses.events import Translation
from engine.responses.schema import FINAL
from engine.sql.tables import ResponseEventRow

LOOK_SECONDS, LOOK_WITHOUT_NEWS = 1.0, 0.2
"""Seconds between two looks of a reader: where Redis brings news, which may get lost, and where
there is no Redis."""

MOST_GROUPS = 100
"""Groups of one look, of 64 KiB at most: a long log is not held in memory."""

GROUP_SECONDS = 0.1
"""Seconds between two groups of events: 1,000 one by one cost SQLite 17 ms, in groups of 20 2.6."""

END = b"\n\n"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Replay:
    """Events of a response, and whether they are the last."""

    events: bytes
    last_seq: int
    ended: bool


def append_events(session: Session, response_id: str, first_seq: int, data: bytes) -> None:
    """Append a group of events, the first of which has this number."""
    last_seq = first_seq + data.count(END) - 1
    session.add(
        ResponseEventRow(response_id=response_id, first_seq=first_seq, last_seq=last_seq, data=data)
    )


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Events of a run, the first of which has the number `first_seq`."""

    job_id: str
    owner: str
    response_id: str
    first_seq: int
    data: bytes


def append_for_run(session: Session, group: EventGroup) -> None:
    """Append a group in the name of a run. Raise `LostRunError` where it has lost its job."""
    require_run(session, group.job_id, group.owner)
    if group.data:
        append_events(session, group.response_id, group.first_seq, group.data)


FencedWrite: TypeAlias = Callable[Concatenate[Session, EventGroup, P], None]
"""A transaction that appends the group in the run's name, and does more with it."""


class EventWriter:
    """Keeps the events of one run in groups, in their order, and wakes their readers."""

    def __init__(self, run: Run, response_id: str, translation: Translation) -> None:
        self._run = run
        self._response_id = response_id
        self._translation = translation
        self._first_seq = translation.sequence
        self._events = b""
        self._fresh = asyncio.Event()
        self._turn = asyncio.Lock()

    def add(self, events: bytes) -> None:
        """Take the next events."""
        self._events += events
        if self._events:
            self._fresh.set()

    async def write(self, fn: FencedWrite[P], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Keep the events so far in the transaction `fn`, and wake their readers."""
        async with self._turn:  # a reader must find no gap between two groups
            first_seq, events = self._first_seq, self._events
            self._first_seq, self._events = self._translation.sequence, b""
            self._fresh.clear()
            group = EventGroup(self._run.id, self._run.owner, self._response_id, first_seq, events)
            try:
                await self._run.resources.database.write(fn, group, *args, **kwargs)
            except BaseException:
                self._first_seq, self._events = first_seq, events + self._events  # no gap later
                raise
        await self._run.resources.news.tell(self._response_id)

    async def append(self) -> None:
        """Keep the events so far."""
        if self._events:
            await self.write(append_for_run)

    async def append_during(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, and keep its events as they come."""
        working = asyncio.create_task(work)
        working.add_done_callback(lambda _: self._fresh.set())
        try:
            while not working.done():
                await self._fresh.wait()
                await self.append()
                await asyncio.wait({working}, timeout=GROUP_SECONDS)
            return working.result()
        finally:
            await end_tasks(working)


def next_sequence(session: Session, response_id: str) -> int:
    """Return the number of the next event."""
    last = select(func.max(ResponseEventRow.last_seq))
    found = session.scalar(last.where(ResponseEventRow.response_id == response_id))
    return 0 if found is None else found + 1


def logged_events(session: Session, response_id: str) -> Iterator[Json]:
    """Yield all events so far."""
    groups = select(ResponseEventRow.data).where(ResponseEventRow.response_id == response_id)
    for data in session.scalars(groups.order_by(ResponseEventRow.first_seq)):
        for event in data.split(END)[:-1]:
            yield msgspec.json.decode(event.split(b"\ndata: ", 1)[1])


def replay_events(
    session: Session, caller_id: str, response_id: str, after: int, *, awaited: bool = False
) -> Replay:
    """Return the events after a number, -1 for all.

    Raise `NotFound` for a response that the caller lacks, `InvalidRequest` for one that did not run
    in the background, unless `awaited`, or whose events have been deleted since.
    """
    found = store.find_response(session, caller_id, response_id)
    if not (found.background or awaited):
        message = "Only a background response can be streamed again."
        raise InvalidRequest(message, param="stream")
    groups = list(
        session.scalars(
            select(ResponseEventRow)
            .where(ResponseEventRow.response_id == response_id, ResponseEventRow.last_seq > after)
            .order_by(ResponseEventRow.first_seq)
            .limit(MOST_GROUPS)
        )
    )
    ended = found.status in FINAL and len(groups) < MOST_GROUPS
    if ended and not groups and not next_sequence(session, response_id):
        message = "The events of this response are deleted: read the response without `stream`."
        raise InvalidRequest(message, param="stream", code="stream_expired")
    events = b"".join(_after(group, after) for group in groups)
    return Replay(events, groups[-1].last_seq if groups else after, ended)


def _after(group: ResponseEventRow, after: int) -> bytes:
    passed = max(0, after + 1 - group.first_seq)
    return END.join(group.data.split(END)[passed:]) if passed else group.data


async def follow_events(
    replay: Callable[[int], Awaitable[Replay]],
    news: News,
    response_id: str,
    after: int,
    stopping: asyncio.Event,
) -> AsyncGenerator[Chunk, None]:
    """Yield the events after a number as they come, until the response or this process ends.

    A reader that was cut off asks again for those after the last that it has.
    """
    seconds = LOOK_SECONDS if news.redis else LOOK_WITHOUT_NEWS
    with news.reading(response_id) as changed:
        while True:
            changed.clear()
            found = await replay(after)
            after = found.last_seq
            yield Chunk(found.events)
            if found.ended or stopping.is_set():
                return
            if found.events:
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await changed.wait()
