"""The app whose commands these are."""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from engine.jobs.jobs import Jobs
    from engine.operations.operation import Operations
    from engine.settings import Settings


class Project(Protocol):
    """What commands need of an app. Each part is imported when a command asks for it."""

    factory: str
    """Where uvicorn finds the function that makes the API, as `module:function`."""

    def settings(self) -> "type[Settings]":
        """Return the class of the settings."""
        ...

    def worker(self) -> "Callable[[Any], Coroutine[Any, Any, None]]":
        """Return what runs a worker, given its settings."""
        ...

    def operations(self) -> "Operations":
        """Return what callers may ask a model for."""
        ...

    def jobs(self) -> "Jobs":
        """Return every kind of job."""
        ...


project: ContextVar[Project] = ContextVar("project")
"""Set by the app's own `main`."""
