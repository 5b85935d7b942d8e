"""`app webhooks`: webhook endpoints, and deliveries that were given up."""

from typing import Annotated

import typer

from engine.operate.cli.columns import show_columns, to_minute
from engine.operate.cli.database import with_database

app = typer.Typer(help="List webhooks, and resend lost messages.", no_args_is_help=True)


@app.command("list")
def show() -> None:
    """List the webhooks of all callers, oldest first."""
    from engine.webhooks.endpoints import list_endpoints

    webhooks = with_database(lambda database: database.read(list_endpoints))
    show_columns(
        ("ID", "CALLER", "NAME", "URL", "EVENTS", "CREATED", "DISABLED"),
        [
            (
                webhook.id,
                webhook.caller,
                webhook.name,
                webhook.url,
                ", ".join(webhook.events),
                to_minute(webhook.created_at),
                to_minute(webhook.disabled_at),
            )
            for webhook in webhooks
        ],
    )


@app.command()
def dead(
    limit: Annotated[int, typer.Option(min=1, help="Show at most this many.")] = 100,
) -> None:
    """List the messages that were given up, latest first."""
    from engine.webhooks.deliveries import list_dead

    letters = with_database(lambda database: database.read(list_dead, limit))
    show_columns(
        ("ID", "EVENT", "SUBJECT", "URL", "TRIES", "GIVEN UP", "REASON"),
        [
            (
                letter.id,
                letter.event,
                letter.subject_id,
                letter.url,
                str(letter.attempt),
                to_minute(letter.finished_at),
                letter.error,
            )
            for letter in letters
        ],
    )


@app.command()
def resend(
    message_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="As in `app webhooks dead`.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All messages that were given up.")] = False,
) -> None:
    """Send messages that were given up once more, with all their tries. A worker does it."""
    from engine.webhooks import deliveries

    if (message_id is None) is not every:
        raise typer.BadParameter("Give either an ID or --all.")
    if message_id is None:
        count = with_database(lambda database: database.write(deliveries.resend_all))
        typer.echo(f"Messages to be sent again: {count}.")
    else:
        with_database(lambda database: database.write(deliveries.resend_delivery, message_id))
        typer.echo(f"{message_id} will be sent again.")
