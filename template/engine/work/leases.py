"""Leases: a worker keeps its claims while it prolongs its lease; an expired lease loses them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from engine.sql.statements import now, rows_changed
from engine.sql.tables import LeaseRow


def grant_lease(session: Session, owner: str, seconds: float) -> None:
    """Give `owner` a lease."""
    session.add(LeaseRow(id=owner, expires_at=now() + seconds))


def prolong_lease(session: Session, owner: str, seconds: float) -> bool:
    """Prolong a lease; return False where it is lost.

    An expired lease is not revived: its claims may be another worker's by now.
    """
    statement = (
        update(LeaseRow)
        .where(LeaseRow.id == owner, LeaseRow.expires_at > now())
        .values(expires_at=now() + seconds)
    )
    return rows_changed(session, statement) == 1


def end_lease(session: Session, owner: str) -> None:
    """Give a lease back."""
    session.execute(delete(LeaseRow).where(LeaseRow.id == owner))


def is_alive(owner: InstrumentedAttribute[str | None]) -> ColumnElement[bool]:
    """Return the condition that the owner in this column has a lease."""
    return exists(select(LeaseRow.id).where(LeaseRow.id == owner, LeaseRow.expires_at > now()))


def forget_expired(session: Session, seconds: float) -> None:
    """Delete the leases that ran out more than `seconds` ago."""
    session.execute(delete(LeaseRow).where(LeaseRow.expires_at < now() - seconds))


log = logging.getLogger(__name__)

LOST = "the lease on %s is lost: it was last renewed %.2f s ago"
"""Another worker then runs the items again that were in flight."""


async def keep_lease(
    renew: Callable[[], Awaitable[str | None]],
    name: str,
    seconds: float,
    asked_at: float,
    held: Collection[str],
) -> str | None:
    """Renew a lease three times in its life while `renew` returns a status in `held`.

    Return another status as it comes. Return None where the lease is lost: another worker has it,
    or may have it by now, since the database has answered no renewal in its time. It was asked for
    at `asked_at` on the loop's clock. An error is not its end: the next beat may come in time.
    """
    clock, renewed_at = asyncio.get_running_loop().time, asked_at
    while True:
        ends_at = renewed_at + seconds
        await asyncio.sleep(min(seconds / 3, max(0.0, ends_at - clock())))
        began = clock()
        try:
            async with asyncio.timeout_at(ends_at):
                status = await renew()
        except Exception:
            if clock() < ends_at:
                log.exception("the lease on %s was not renewed", name)
                continue
            status = None
        if status is None:
            log.warning(LOST, name, clock() - renewed_at)
        if status is None or status not in held:
            return status
        renewed_at = began
