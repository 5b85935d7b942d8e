"""A pool of database connections for each request, in a dependency."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

app = FastAPI()


async def connection() -> AsyncIterator[AsyncConnection]:
    """Give a connection of an engine of its own."""
    engine = create_async_engine("postgresql+asyncpg://database/rows")  # caught by doctor EX304
    async with engine.connect() as opened:
        yield opened


@app.get("/")
async def endpoint(connection: Annotated[AsyncConnection, Depends(connection)]) -> int:
    """Count."""
    return (await connection.scalars(text("select 1"))).one()
