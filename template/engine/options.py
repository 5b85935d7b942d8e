"""Options: parts of the engine that a project may lack, and what each adds to the rest."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel
from sqlalchemy.orm import Session

from engine.batches.files import FileHook
from engine.jobs.jobs import Job
from engine.operations.bound_model import ModelOwners
from engine.process.queue import Kind
from engine.settings import OPTIONS, Settings
from engine.sql.database import Database

if TYPE_CHECKING:
    from engine.responses.hosted_tools import Ground, StoreCheck

Piece: TypeAlias = Callable[[Session, float], Counter[str]]
"""Deletes one piece of rows older than so many seconds; returns their counts, empty at the end."""
Pieces: TypeAlias = Callable[[Settings], list[tuple[Piece, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What an option adds."""

    jobs: tuple[Job[Any], ...] = ()
    purposes: frozenset[str] = frozenset()
    """Purposes with which files may be uploaded for it."""
    pools: Callable[[Settings], Mapping[Kind, int]] | None = None
    """Pools of a worker of its own, each with the jobs that run in it at once."""
    state: Callable[[Settings], object] | None = None
    """Makes what one process shares: `resources.options[name]`. It is never closed."""
    tools: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    """Hosted tools of responses that run here, by their type."""
    store_check: "StoreCheck | None" = None
    """Checks the stores that these tools name, before a response in the background is begun."""
    ground: "Ground | None" = None
    """Runs these tools for a response."""
    file_deleted: FileHook | None = None
    model_owners: Callable[[Settings, Database], ModelOwners] | None = None
    """Makes what keeps models of single callers from the rest; one option may have it."""
    pieces: Pieces | None = None
    """Pieces of rows that retention deletes, each with the age in seconds."""


@cache
def installed_options() -> Mapping[str, Option]:
    """Return the `OPTION` of each optional package that this project has, by its name."""
    there = [name for name in OPTIONS if find_spec(f"engine.{name}")]
    return {name: import_module(f"engine.{name}.option").OPTION for name in there}


def model_owners(settings: Settings, database: Database) -> ModelOwners | None:
    """Return what keeps models of single callers from the rest; None where no option has any."""
    made = [each.model_owners for each in installed_options().values() if each.model_owners]
    return made[0](settings, database) if made else None
