"""`app migrate`: bring the tables of the database to the newest revisions."""

from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import AppError, Conflict
from engine.operate.cli.database import unusable_database
from engine.operate.cli.settings import read_settings

if TYPE_CHECKING:
    from alembic.config import Config

LOCKED = (
    "Another process keeps a table, or the whole database, locked. Nothing was changed: run"
    " `app migrate` again, or with a longer `--wait`."
)
STRANGE = (
    "The database is at {found}, and {strange} is no revision of this code. Nothing was changed:"
    " tables older than 0.3.0 need `app migrate` of 0.4.0 first, and a revision of your own must"
    " lie in migrations/versions."
)


def migrate_tables(
    wait: Annotated[float, typer.Option(help="Seconds to try for while tables are locked.")] = 60.0,
) -> None:
    """Bring the database to the newest revisions. Several may do so at once: one of them works."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy.exc import DBAPIError

    from engine.process.outages import is_locked

    read_settings()
    config = Config(toml_file="pyproject.toml", attributes={"found": set()})
    try:
        strange = _upgrade(config, wait)
    except (DBAPIError, OSError) as error:
        if is_locked(error):
            raise Conflict(LOCKED) from error
        if getattr(error, "statement", None):  # a step is wrong, and its traceback says which
            raise
        raise unusable_database(error, "Is it running, and is DATABASE_URL right?") from error
    found, heads = config.attributes["found"], set(ScriptDirectory.from_config(config).get_heads())
    typer.echo(f"Database: {_result(found, heads, strange)}.")


def _upgrade(config: "Config", wait: float) -> str | None:
    """Return the revision of the database that this code does not know, None after the upgrade."""
    import stamina
    from alembic import command
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    from engine.process.outages import is_locked

    try:
        for attempt in stamina.retry_context(
            on=is_locked, attempts=None, timeout=wait, wait_initial=0.2, wait_max=2.0
        ):
            with attempt:
                command.upgrade(config, "heads")
    except CommandError as error:
        if isinstance(error.__cause__, ResolutionError):
            return error.__cause__.argument
        raise
    return None


def _result(found: set[str], heads: set[str], strange: str | None) -> str:
    names = ", ".join(sorted(found)) or "empty"
    if strange and not any(each.startswith("engine_") for each in found):
        raise AppError(STRANGE.format(found=names, strange=strange))
    if strange:
        return f"at {names}, which is newer than this code. Nothing was changed"
    if found == heads:
        return f"already at {names}"
    return f"from {names} to {', '.join(sorted(heads))}"
