"""`app responses`: stored responses of all callers."""

from typing import Annotated

import typer

from engine.operate.cli.columns import (
    print_json,
    show_columns,
    show_facts,
    show_table,
    to_minute,
)
from engine.operate.cli.database import with_database
from engine.operate.cli.jobs import AsJson
from engine.operate.cli.project import project

app = typer.Typer(help="List, show and cancel stored responses.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="As in `app responses list`.")]


@app.command("list")
def show_list(
    *,
    status: Annotated[str | None, typer.Option(help="Only responses in this state.")] = None,
    model: Annotated[str | None, typer.Option(help="Only responses of this model.")] = None,
    caller: Annotated[str | None, typer.Option(help="Only responses of this caller.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most this many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List stored responses of all callers, newest first."""
    from engine.views.responses import list_responses

    found = with_database(
        lambda database: database.read(
            list_responses, status=status, model=model, caller=caller, limit=limit
        )
    )
    if as_json:
        print_json(found)
        return
    show_columns(
        ("ID", "MODEL", "CALLER", "STATUS", "BACKGROUND", "CREATED"),
        [
            (
                each.id,
                each.model,
                each.caller,
                each.status,
                "yes" if each.background else "-",
                to_minute(each.created_at),
            )
            for each in found
        ],
    )


@app.command()
def show(
    response_id: Id,
    *,
    steps: Annotated[
        bool, typer.Option("--steps", help="Show the steps of an agent, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show all about a response but what was said: its state, its chain, the sizes of its items."""
    from engine.views.responses import show_response

    detail = with_database(lambda database: database.read(show_response, response_id))
    if as_json:
        print_json(detail)
        return
    show_facts(detail.model_dump(exclude={"items", "steps"}))
    show_table("items", [item.model_dump() for item in detail.items])
    if steps:
        show_table("steps", [step.model_dump() for step in detail.steps])


@app.command()
def cancel(response_id: Id) -> None:
    """End a background response at once. One that has ended stays as it is."""
    from engine.views import responses

    own = project.get()
    status = with_database(
        lambda database: database.write(responses.cancel_for_caller, response_id, own.jobs())
    )
    typer.echo(f"{response_id} is {status}.")
