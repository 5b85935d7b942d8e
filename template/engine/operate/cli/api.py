"""`app api`: runs the API in one process, in several, or again and again as code changes."""

import math
import signal
import socket
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from engine.operate.cli.project import project
from engine.operate.cli.settings import read_settings

if TYPE_CHECKING:
    from engine.settings import Settings


def serve_api(
    *,
    reload: Annotated[bool, typer.Option(help="Restart when code changes.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
    fd: Annotated[int | None, typer.Option(hidden=True, help="A socket that listens.")] = None,
) -> None:
    """Run the API."""
    import uvicorn

    from engine.operate.cli.api import run_workers
    from engine.watch.telemetry import configure_logging

    values, factory = read_settings(), project.get().factory
    configure_logging(values.log_level, as_json=values.production)
    options = _options(values)
    if fd is not None:
        config = uvicorn.Config(factory, **options)
        uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)])
    elif workers > 1 and not reload:
        run_workers(uvicorn.Config(factory, workers=workers, **options))
    else:
        watched = ["app", "engine"] if reload else None
        uvicorn.run(factory, reload=reload, reload_dirs=watched, **options)


def _options(values: "Settings") -> dict[str, Any]:
    from engine.settings import LAST_WORDS

    return {
        "factory": True,
        "host": values.host,
        "port": values.port,
        # engine.watch.telemetry configures logs, and the app logs its requests itself.
        "log_config": None,
        "access_log": False,
        "http": "engine.process.connection:Connection",
        # engine.process.drain ends requests in words; a request that goes on then is cancelled.
        "timeout_graceful_shutdown": math.ceil(values.shutdown_grace + LAST_WORDS),
        # Longer than proxies keep idle connections (nginx 60 s, AWS 60 s): the sender of the next
        # request should be the one to close, or it meets a connection that is just being closed.
        "timeout_keep_alive": 75,
        # One request's context would reach the next one (python/cpython#140947).
        "reset_contextvars": True,
    }


class Workers(Multiprocess):
    """Stops its workers, and at a second signal at once."""

    def terminate_all(self) -> None:
        """Stop the workers, and let go of the socket, which each of them closes in its time.

        While this process held it, the kernel would accept connections that no worker serves until
        the last worker has ended, and reset them then.
        """
        for listener in self.sockets:
            listener.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._again)
        super().terminate_all()

    def _again(self, _number: int, _frame: FrameType | None) -> None:
        super().terminate_all()


def run_workers(config: Config) -> None:
    """Run as many processes as the configuration says, until a signal ends them."""
    Workers(config, sockets=[config.bind_socket()]).run()
