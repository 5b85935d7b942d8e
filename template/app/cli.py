"""The `app` command: the engine's commands, for this app."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from engine.operate import cli

if TYPE_CHECKING:
    from app.settings import Settings
    from engine.jobs.jobs import Jobs
    from engine.operations.operation import Operations


class App:
    """Parts of the app that the commands need, imported on demand: `app --help` answers at once."""

    factory = "app.main:create_app"

    def settings(self) -> "type[Settings]":
        """Return the class of the settings."""
        from app.settings import Settings

        return Settings

    def worker(self) -> "Callable[[Settings], Coroutine[Any, Any, None]]":
        """Return the function that runs a worker."""
        from app.worker import run

        return run

    def operations(self) -> "Operations":
        """Return every operation by its URL."""
        from app.resources.lifespan import all_operations

        return all_operations()

    def jobs(self) -> "Jobs":
        """Return every kind of job by its name."""
        from app.resources.lifespan import all_jobs

        return all_jobs()


app = cli.commands(App())


def main() -> None:
    """Run one command line."""
    cli.run(app)


if __name__ == "__main__":
    main()
