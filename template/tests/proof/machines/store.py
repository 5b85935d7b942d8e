"""The store of the tests: the app's own transactions on a database in memory, with a set clock."""

import sqlite3
from types import SimpleNamespace
from typing import ParamSpec, TypeVar

from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from engine.sql.database import Transaction, _begin_with, _commit
from engine.sql.tables import (
    Base,
    CallerRow,
    FileRow,
    WebhookRow,
)

P = ParamSpec("P")
T = TypeVar("T")

CALLER = "caller_a"
INPUT = "file_a"
WEBHOOKS = ("webhook_a", "webhook_b")
START = 1_800_000_000.5
"""Not a whole second, so that no tick is met in its own moment."""

UNIX_EPOCH = 2_440_587.5
"""1 January 1970 as a Julian day: SQLite's clock counts these."""

EVENTS = [
    *(f"batch.{end}" for end in ("completed", "failed", "expired", "cancelled")),
    *(f"job.{end}" for end in ("succeeded", "failed", "expired", "cancelled")),
]


class Store:
    """A database with one caller, who wants to be told of every end by two webhooks."""

    def __init__(self) -> None:
        self.time = START
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        _begin_with(self._engine, "BEGIN IMMEDIATE")
        event.listen(self._engine, "connect", self._set_clock)
        Base.metadata.create_all(self._engine)

    def write(self, fn: Transaction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `fn(session, …)`, committed."""
        return _commit(self._engine, lambda session: fn(session, *args, **kwargs))

    def rows(self, query: str) -> list[SimpleNamespace]:
        """Return what a query gives, past SQLAlchemy: most of a step's time would go there."""
        cursor = self._connection.cursor()
        cursor.row_factory = _named
        return cursor.execute(query).fetchall()

    def empty(self) -> None:
        """Forget everything, and set the clock back."""
        self.time = START
        self.write(_empty)
        self.write(_populate)

    def _set_clock(self, connection: sqlite3.Connection, _record: object) -> None:
        def julianday(_moment: str) -> float:
            return self.time / 86_400 + UNIX_EPOCH

        connection.create_function("julianday", 1, julianday)
        self._connection = connection


def expire_at(session: Session, batch_id: str, moment: float) -> None:
    """Set when a batch expires: a window of a day is long for a test."""
    session.execute(
        text("UPDATE batches SET expires_at = :moment WHERE id = :id"),
        {"id": batch_id, "moment": moment},
    )


def _named(cursor: sqlite3.Cursor, row: tuple[object, ...]) -> SimpleNamespace:
    names = (column[0] for column in cursor.description)
    return SimpleNamespace(**dict(zip(names, row, strict=True)))


def _empty(session: Session) -> None:
    for table in reversed(Base.metadata.sorted_tables):
        session.execute(table.delete())


def _populate(session: Session) -> None:
    session.add(CallerRow(id=CALLER, name="a", flags=[], created_at=START))
    session.flush()
    for webhook_id in WEBHOOKS:
        session.add(
            WebhookRow(
                name="",
                updated_at=0.0,
                id=webhook_id,
                caller_id=CALLER,
                url="https://receiver.example/",
                events=EVENTS,
                secret="whsec_",
                created_at=START,
            )
        )
    session.add(
        FileRow(
            id=INPUT,
            caller_id=CALLER,
            filename="in.jsonl",
            purpose="batch",
            bytes=0,
            created_at=START,
            complete=True,
        )
    )
