"""GET /live asks the event loop only; GET /ready asks each resource."""

import asyncio
from collections.abc import Awaitable
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.dependencies.resources import Shared
from app.resources.bounded import bounded_map

router = APIRouter(tags=["health"])

CHECK_SECONDS = 2.0
"""Longest wait for one resource: less than the usual time limit of a probe."""

OK, UNUSED = "ok", "not used"

NEEDED = {"database"}
"""What nothing works without. While Redis is away jobs wait but requests are served, and no other
process would reach an external model better: taking this one out of rotation would help nobody."""


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

    A stopping process is `draining`: it still serves, but wants no more requests.
    """
    if shared.drain.begun.is_set():
        response.status_code = 503
        return Readiness(status="draining", resources={})
    checks: dict[str, Awaitable[object] | None] = {
        "database": shared.database.read(_ask),
        "redis": None if shared.redis is None else shared.redis.ping(),
        "model": shared.model.models(),
    }
    states = await bounded_map(_state, checks.values(), limit=len(checks))
    resources = dict(zip(checks, states, strict=True))
    failing = {name for name, state in resources.items() if state not in (OK, UNUSED)}
    if failing & NEEDED:
        response.status_code = 503
        return Readiness(status="unavailable", resources=resources)
    return Readiness(status="degraded" if failing else "ready", resources=resources)


async def _state(check: Awaitable[object] | None) -> str:
    if check is None:
        return UNUSED
    try:
        await asyncio.wait_for(check, CHECK_SECONDS)
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is the answer
        return f"failing: {type(error).__name__}"
    return OK


def _ask(session: Session) -> None:
    session.execute(text("SELECT 1"))
