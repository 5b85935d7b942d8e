"""GET /live asks the event loop only; GET /ready asks each resource."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from redis.exceptions import ResponseError
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.dependencies.resources import Shared
from app.resources.lifespan import Resources
from engine.errors import Unavailable
from engine.process.concurrency import bounded_map
from engine.process.outages import lacks_table
from engine.slots.redis_semaphore import Reason
from engine.sql.revisions import OWN

router = APIRouter(tags=["health"])

CHECK_SECONDS = 2.0
"""Longest wait for one resource: less than the usual time limit of a probe."""

OK, UNUSED, FAILING = "ok", "not used", "failing: "

OLDER = "its tables are older than the code: run `app migrate`"

PROBE = bytes(64 * 1024)
"""Bytes that a readiness check writes, to test the disk of SQLite."""


class Readiness(BaseModel):
    """Whether requests should come here, and the state of each resource."""

    status: Literal["ready", "degraded", "unavailable", "draining"]
    resources: dict[str, str]


@router.get("/live")
async def live() -> dict[str, str]:
    """Answer as long as the event loop turns. Restart the process when this fails."""
    return {"status": "alive"}


@router.get("/ready", responses={503: {"model": Readiness}})
async def ready(shared: Shared, response: Response) -> Readiness:
    """Answer 200 when requests can be served, 503 when not, and say which resource fails.

    Without a readable database nothing works. While Redis is away jobs wait but requests are
    served, and no other process would reach an external model better: to take this one out of
    rotation would not help. The same goes for a disk that takes no writes.

    A stopping process is `draining`: it still serves, but wants no more requests.
    """
    if shared.drain.begun.is_set():
        response.status_code = 503
        return Readiness(status="draining", resources={})
    states = await bounded_map(partial(_remembered, shared), CHECKS, limit=len(CHECKS))
    resources = dict(zip(CHECKS, states, strict=True))
    writing, readable = resources.pop("writing"), resources["database"] == OK
    if not readable:
        response.status_code = 503
    elif writing != OK:
        resources["database"] = f"cannot be written: {writing.removeprefix(FAILING)}"
    if resources["model"] == OK:
        resources["model"] = _left_alone(shared)
    well = set(resources.values()) <= {OK, UNUSED}
    status = ("ready" if well else "degraded") if readable else "unavailable"
    return Readiness(status=status, resources=resources)


async def _remembered(shared: Resources, name: str) -> str:
    state: str = await shared.probes.get(name, partial(_state, CHECKS[name], shared))
    return state


async def _state(check: Callable[[Resources], Awaitable[str]], shared: Resources) -> str:
    try:
        return await asyncio.wait_for(check(shared), CHECK_SECONDS)
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 -- any error is the answer
        cause = error.__cause__ if isinstance(error, Unavailable) else error
        return FAILING + (getattr(cause, "strerror", None) or type(cause).__name__)


async def _ask_database(shared: Resources) -> str:
    try:
        found = await shared.database.read(_read_revisions)
    except Exception as error:
        if lacks_table(error):
            return OLDER
        raise
    return OLDER if OWN.newer_than(found) else OK


async def _ask_to_write(shared: Resources) -> str:
    return await shared.database.write(_write)


async def _ask_redis(shared: Resources) -> str:
    if shared.redis is None:
        return UNUSED
    try:
        await shared.redis.set(f"{shared.settings.service_slug}:ready", 1, ex=60)
    except ResponseError as error:  # it answers, but has no memory left or is a replica
        return f"cannot be written: {error}"
    return OK


async def _ask_model(shared: Resources) -> str:
    await shared.models()
    return OK


CHECKS = {
    "database": _ask_database,
    "writing": _ask_to_write,
    "redis": _ask_redis,
    "model": _ask_model,
}


def _left_alone(shared: Resources) -> str:
    pauses = (pause for slots in shared.slots.values() for pause in slots.pauses.all())
    if not (count := Counter(pause.reason for pause in pauses)):
        return OK
    paused, circuit_breakers = count[Reason.ASKED], count[Reason.CIRCUIT]
    return f"{paused} paused, {circuit_breakers} with an open circuit: see `app model status`"


def _read_revisions(session: Session) -> Sequence[str]:
    return session.scalars(text("SELECT version_num FROM alembic_version")).all()


def _write(session: Session) -> str:
    """See whether writes succeed, and leave nothing behind."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        readonly = session.scalar(text("SHOW transaction_read_only"))
        return "it is read-only" if readonly == "on" else OK
    file = Path(connection.engine.url.database or "")
    file.stat()  # SQLite writes on into a file that was deleted
    with TemporaryFile(dir=file.parent) as probe:
        probe.write(PROBE)
    return OK
