"""`app documents`: vector stores of all callers, and their move to another model."""

from typing import TYPE_CHECKING, Annotated

import typer

from engine.operate.cli.columns import print_json, show_columns, to_minute
from engine.operate.cli.database import with_database
from engine.operate.cli.jobs import AsJson
from engine.operate.cli.settings import read_settings

if TYPE_CHECKING:
    from engine.documents.space import Space

app = typer.Typer(help="List vector stores, and move them to another model.", no_args_is_help=True)


@app.command("list")
def show_list(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Show at most this many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List vector stores of all callers, newest first, with the model of their vectors."""
    from engine.documents.stores import list_stores

    found = with_database(lambda database: database.read(list_stores, limit))
    if as_json:
        print_json(found)
        return
    show_columns(
        ("ID", "NAME", "CALLER", "FILES", "CHUNKS", "MODEL", "CREATED"),
        [
            (
                each.id,
                each.name or "-",
                each.caller,
                str(each.files),
                str(each.chunks),
                each.space,
                to_minute(each.created_at),
            )
            for each in found
        ],
    )


@app.command()
def reembed(
    store_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="A store; all of another model without it.")
    ] = None,
) -> None:
    """Embed stores anew by the model of the settings; they answer meanwhile."""
    from engine.documents.reembedding import submit_reembedding

    space = _space()
    begun = with_database(lambda database: database.write(submit_reembedding, space, store_id))
    for each in begun:
        typer.echo(
            f"{each} moves to {space.name}. `app jobs list --name reembed_store` follows it."
        )
    if not begun:
        typer.echo(f"No store is to be moved to {space.name}.")


def _space() -> "Space":
    from engine.documents.resource import Documents

    return Documents(read_settings()).space
