"""GET /v1/usage: the caller's tokens by day and model."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from app.dependencies.database import CallersRows
from engine.callers import usage
from engine.callers.usage import DayUsage

router = APIRouter(prefix="/v1/usage", tags=["usage"])


class UsageList(BaseModel):
    """Sums by day and model."""

    object: str = "list"
    data: list[DayUsage]


@router.get("")
async def list_usage(
    rows: CallersRows, days: Annotated[int, Query(ge=1, le=366)] = 30
) -> UsageList:
    """List the tokens of the last days, newest first."""
    return UsageList(data=await rows.read(usage.by_day, days=days))
