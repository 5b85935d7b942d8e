"""The database for commands that need nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from engine.errors import AppError
from engine.operate.cli.settings import read_settings

if TYPE_CHECKING:
    from engine.sql.database import Database

T = TypeVar("T")


def with_database(use: Callable[["Database"], Awaitable[T]]) -> T:
    """Return `use(database)`; raise `AppError` with the remedy where there is no database."""
    from sqlalchemy.exc import DBAPIError

    from engine.sql.database import open_database

    settings = read_settings()

    async def run() -> T:
        async with open_database(settings) as database:
            return await use(database)

    try:
        return asyncio.run(run())
    except (DBAPIError, OSError) as error:
        raise unusable_database(error, "Is it running, and has `app migrate` been run?") from error


def unusable_database(error: Exception, question: str) -> AppError:
    """Return the error of a database that cannot be used, in the words of its driver."""
    return AppError(f"The database cannot be used: {getattr(error, 'orig', error)}. {question}")
