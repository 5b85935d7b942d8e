"""A database session that a slow reader of a stream keeps open."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

app = FastAPI()
engine = create_async_engine("postgresql+asyncpg://database/rows")


async def session() -> AsyncIterator[AsyncSession]:
    """Give a session until the last byte."""
    async with AsyncSession(engine) as opened:  # caught by doctor EX507
        yield opened


async def words() -> AsyncIterator[str]:
    """Yield words."""
    yield "word"


@app.get("/")
async def endpoint(session: Annotated[AsyncSession, Depends(session)]) -> StreamingResponse:
    """Stream."""
    return StreamingResponse(words())
