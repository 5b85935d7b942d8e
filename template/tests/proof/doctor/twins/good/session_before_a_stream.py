"""A session that ends before the first byte, and plain data for the stream."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

app = FastAPI()
engine = create_async_engine("postgresql+asyncpg://database/rows")


async def session() -> AsyncIterator[AsyncSession]:
    """Give a session until the endpoint returns."""
    async with AsyncSession(engine) as opened:
        yield opened


async def lines(numbers: list[int]) -> AsyncIterator[str]:
    """Yield lines."""
    for number in numbers:
        yield f"{number}\n"


@app.get("/")
async def endpoint(
    session: Annotated[AsyncSession, Depends(session, scope="function")],
) -> StreamingResponse:
    """Stream what was read."""
    numbers = list((await session.scalars(text("select 1"))).all())
    return StreamingResponse(lines(numbers))
