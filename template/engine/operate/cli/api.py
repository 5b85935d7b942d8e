"""`app api`: runs the API in one process, in several, or again and again as code changes."""

import math
import socket
from typing import TYPE_CHECKING, Annotated, Any

import typer

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

    from engine.operate.cli.workers import run_workers
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
