"""Registry of live workers: each signs in, again with every sweep, and off at its end."""

import os
import socket
from dataclasses import dataclass, field

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from engine.sql.statements import new_id, now, rows_changed
from engine.sql.tables import WorkerRow

FORGOTTEN = 3600.0
"""Seconds for which operators still see a worker that ended without signing off."""


@dataclass(frozen=True, slots=True)
class Worker:
    """This process."""

    id: str = field(default_factory=lambda: new_id("worker"))
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)


def sign_in(session: Session, worker: Worker) -> None:
    """Record a sign of life, and forget workers that gave none for long."""
    mine = update(WorkerRow).where(WorkerRow.id == worker.id).values(seen_at=now())
    if not rows_changed(session, mine):
        moment = session.scalars(select(now())).one()
        session.add(
            WorkerRow(
                id=worker.id,
                host=worker.host,
                pid=worker.pid,
                started_at=moment,
                seen_at=moment,
            )
        )
    silent = select(WorkerRow.id).where(WorkerRow.seen_at < now() - FORGOTTEN)
    silent = silent.order_by(WorkerRow.id).with_for_update(skip_locked=True)
    session.execute(delete(WorkerRow).where(WorkerRow.id.in_(silent)))


def sign_off(session: Session, worker: Worker) -> None:
    """Forget a worker that has come to its end."""
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker.id))


def living_workers(session: Session, seconds: float) -> int:
    """Return the number of workers that gave a sign of life in the last `seconds`."""
    seen = select(func.count()).select_from(WorkerRow).where(WorkerRow.seen_at > now() - seconds)
    return session.scalars(seen).one()
