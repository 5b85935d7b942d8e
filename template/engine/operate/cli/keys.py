"""`app keys`: the API keys of callers."""

from typing import Annotated

import typer

from engine.operate.cli.columns import show_columns, to_minute
from engine.operate.cli.database import with_database

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
    weight: Annotated[
        float | None,
        typer.Option(
            help="Share of this caller's batches; with 2 it gets twice as much as with 1."
        ),
    ] = None,
    priority: Annotated[
        int | None, typer.Option(help="Batches of callers with a higher priority go first.")
    ] = None,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from engine.callers.keys import create_key

    key = with_database(
        lambda database: database.write(
            create_key,
            name,
            requests_per_minute=requests_per_minute,
            flags=flag or (),
            weight=weight,
            priority=priority,
        )
    )
    typer.echo(key)
    typer.echo("Keep it now: it cannot be shown again.", err=True)


@app.command("list")
def show() -> None:
    """List all keys, oldest first."""
    from engine.callers.keys import list_keys

    keys = with_database(lambda database: database.read(list_keys))
    show_columns(
        ("ID", "CALLER", "CREATED", "REVOKED", "A MINUTE", "WEIGHT", "PRIORITY", "FLAGS"),
        [
            (
                key.id,
                key.caller,
                to_minute(key.created_at),
                to_minute(key.revoked_at),
                str(key.requests_per_minute or "-"),
                f"{key.weight:g}",
                str(key.priority),
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
    from engine.callers.keys import revoke_key

    with_database(lambda database: database.write(revoke_key, key_id))
    typer.echo(f"{key_id} is revoked.")
