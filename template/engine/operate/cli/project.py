"""The interface of an app to these commands."""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from engine.jobs.jobs import Jobs
    from engine.operations.operation import Operations
    from engine.settings import Settings


class AppParts(Protocol):
    """The parts of an app that commands need. Each is imported when a command asks for it."""

    factory: str
    """Where uvicorn finds the function that makes the API, as `module:function`."""

    def settings(self) -> "type[Settings]":
        """Return the class of the settings."""
        ...

    def worker(self) -> "Callable[[Any], Coroutine[Any, Any, None]]":
        """Return the function that runs a worker, given its settings."""
        ...

    def operations(self) -> "Operations":
        """Return the operations that callers may ask of a model."""
        ...

    def jobs(self) -> "Jobs":
        """Return every kind of job."""
        ...


project: ContextVar[AppParts] = ContextVar("project")
"""Set by `cli.commands`."""
