"""`app migrate`: bring the tables of the database to the newest revision."""

from typing import TYPE_CHECKING

import typer

from engine.operate.cli.database import unusable
from engine.operate.cli.settings import read_settings

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationInfo


def migrate() -> None:
    """Bring the database to the newest revision. Several may do so at once: one of them works."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy.exc import DBAPIError

    read_settings()
    steps: list[tuple[str, str]] = []

    def note(*, step: "MigrationInfo", **_rest: object) -> None:
        steps.append(
            (", ".join(step.source_revision_ids), ", ".join(step.destination_revision_ids))
        )

    config = Config(toml_file="pyproject.toml", attributes={"on_version_apply": note})
    try:
        command.upgrade(config, "head")
    except (DBAPIError, OSError) as error:
        if getattr(error, "statement", None):  # a step is wrong, and its traceback says which
            raise
        raise unusable(error, "Is it running, and is DATABASE_URL right?") from error
    if steps:
        typer.echo(f"Database: from {steps[0][0] or 'empty'} to {steps[-1][1]}.")
    else:
        head = ScriptDirectory.from_config(config).get_current_head()
        typer.echo(f"Database: already at {head}.")
