"""`app keys`: who may call the API."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli.columns import show_columns
from app.cli.settings import read_settings
from app.errors import AppError

if TYPE_CHECKING:
    from app.resources.database import Database

T = TypeVar("T")

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The caller. One caller may have several keys.")],
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Model calls a minute of this caller.")
    ] = None,
    flag: Annotated[
        list[str] | None, typer.Option(help="A feature for this caller; may be repeated.")
    ] = None,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from app.domain.keys import create_key

    key = _with_database(
        lambda database: database.write(
            create_key, name, requests_per_minute=requests_per_minute, flags=flag or ()
        )
    )
    typer.echo(key)
    typer.echo("Keep it now: it cannot be shown again.", err=True)


@app.command("list")
def show() -> None:
    """List all keys, oldest first."""
    from app.domain.keys import list_keys

    keys = _with_database(lambda database: database.read(list_keys))
    show_columns(
        ("ID", "CALLER", "CREATED", "REVOKED", "A MINUTE", "FLAGS"),
        [
            (
                key.id,
                key.caller,
                _day(key.created_at),
                _day(key.revoked_at) if key.revoked_at is not None else "-",
                str(key.requests_per_minute or "-"),
                ", ".join(key.flags) or "-",
            )
            for key in keys
        ],
    )


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As in `app keys list`.")],
) -> None:
    """End a key for good."""
    from app.domain.keys import revoke_key

    _with_database(lambda database: database.write(revoke_key, key_id))
    typer.echo(f"{key_id} is revoked.")


def _with_database(use: Callable[["Database"], Awaitable[T]]) -> T:
    from sqlalchemy.exc import DBAPIError

    from app.resources.database import open_database

    settings = read_settings()

    async def run() -> T:
        async with open_database(settings) as database:
            return await use(database)

    try:
        return asyncio.run(run())
    except (DBAPIError, OSError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise AppError(
            f"The database cannot be used: {reason}. Is it running, and has `app migrate` been run?"
        ) from error


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")
