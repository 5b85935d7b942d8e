"""`app settings`: every setting with its value and its source."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from engine.operate.cli.columns import show_columns
from engine.operate.cli.project import project

if TYPE_CHECKING:
    from engine.settings import Settings

WHERE_UNSET = {
    "database_url": "sql_url",
    "redis_url": "broker_url",
    "readiness_grace": "readiness_seconds",
    "stall_seconds": "stall_threshold",
    "model_slots": "slots",
    "batch_openai_base_url": "openai_base_url",
    "batch_openai_api_key": "openai_api_key",
}
"""The properties with the values in force of settings that have no value."""


def read_settings() -> "Settings":
    """Return the settings; print why and exit with code 2 where they do not allow a start."""
    from engine.errors import Misconfigured
    from engine.settings.loading import load_settings

    try:
        return load_settings(project.get().settings())
    except Misconfigured as error:
        typer.secho("The settings do not allow a start:", fg=typer.colors.RED, err=True)
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
        raise typer.Exit(2) from None


def show_settings(
    *,
    env_example: Annotated[
        bool, typer.Option("--env-example", help="Print the text of .env.example instead.")
    ] = False,
) -> None:
    """Show every setting, its value in force and its source; secrets are masked."""
    if env_example:
        typer.echo(example_file(), nl=False)
        return
    from engine.settings.urls import mask_secrets

    settings = read_settings()
    origins = {name: source for source, names in _sources() for name in names}
    in_force = {
        name: getattr(settings, WHERE_UNSET.get(name, name)) if value is None else value
        for name, value in settings
    }
    show_columns(
        ("SETTING", "VALUE", "FROM"),
        [
            (name.upper(), mask_secrets(as_text(value)), origins.get(name, "default"))
            for name, value in in_force.items()
        ],
    )


def example_file() -> str:
    """Return `.env.example`: each setting with its description, commented out at its default."""
    head = "# Copy settings that you change to .env. `app settings` shows the values in force.\n"
    fields = project.get().settings().model_fields
    return head + "".join(
        f"\n{_comment(each.description or '')}\n# {name.upper()}={_quoted(as_text(each.default))}\n"
        for name, each in fields.items()
    )


def as_text(value: object) -> str:
    """Return a setting as it stands in the environment."""
    match value:
        case None:
            return ""
        case bool() | int() | float():
            return json.dumps(value)
        case tuple():
            return json.dumps(value, default=lambda model: model.model_dump(mode="json"))
        case list() | set() | frozenset():
            return json.dumps(sorted(value))
        case _:
            return str(value)


def _sources() -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the names that each source sets, weakest source first."""
    from pydantic_settings import (
        DotEnvSettingsSource,
        EnvSettingsSource,
        TomlConfigSettingsSource,
    )

    from engine.settings import reads_files

    kind = project.get().settings()
    if reads_files():
        yield "settings.toml", TomlConfigSettingsSource(kind)()
        yield ".env", DotEnvSettingsSource(kind)()
    yield "environment", EnvSettingsSource(kind)()


def _comment(description: str) -> str:
    return "\n".join(f"# {line}" for line in description.splitlines())


def _quoted(value: str) -> str:
    return shlex.quote(value) if value else ""
