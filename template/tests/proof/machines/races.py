"""Transactions that meet on PostgreSQL: one stops half done until another waits for it."""

import asyncio
from collections.abc import Callable

from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from engine.sql.database import Database

Step = Callable[[Session], object]


class Held:
    """A transaction that stops after its first statement on a table, until it may go on."""

    def __init__(self, step: Step, statement: str) -> None:
        self.runs = 0
        self.holding, self.may_go_on = asyncio.Event(), asyncio.Event()
        self._step, self._statement = step, statement

    def __call__(self, session: Session) -> object:
        self.runs += 1
        event.listen(session.connection(), "after_cursor_execute", self._hold)
        return self._step(session)

    def _hold(self, _connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.strip().startswith(self._statement):
            self.holding.set()
            await_only(self.may_go_on.wait())


class Counted:
    """A transaction that counts how often it is begun: once more after each deadlock."""

    def __init__(self, step: Step) -> None:
        self.runs = 0
        self._step = step

    def __call__(self, session: Session) -> object:
        self.runs += 1
        return self._step(session)


async def run_into(database: Database, first: Held, second: Counted) -> None:
    """Let the second come while the first is half done; neither may have to begin anew."""
    one = asyncio.create_task(database.write(first))
    await first.holding.wait()
    two = asyncio.create_task(database.write(second))
    async with asyncio.timeout(30):
        while not two.done() and not await database.read(waiting):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    first.may_go_on.set()
    await asyncio.gather(one, two)
    assert (first.runs, second.runs) == (1, 1), "PostgreSQL found a deadlock"


def waiting(session: Session) -> bool:
    """Return whether a transaction in this database waits for another one."""
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
    return bool(session.scalar(text(f"{blocked} AND datname = current_database()")))
