"""What `app dev` runs: Redis if none is given, then API and worker; they stop in reverse."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import typer
from watchfiles import PythonFilter, awatch

from app.development import CannotStart, valkey
from app.development.child import Child, running
from app.development.greeting import greet
from app.development.key import development_key
from app.settings import Settings

REDIS_LIMIT = 10.0  # seconds for Valkey, which takes 0.1 with little data
RELOAD_GRACE = 3.0  # seconds: changed code should show soon, also beside an open stream
CODE = Path(__file__).parents[1]
APP = (sys.executable, "-m", "app.cli")


def run_everything(settings: Settings) -> None:
    """Run until Ctrl-C or SIGTERM. Raise `CannotStart` where the port or Redis is not to be had."""
    with _listen(settings.host, settings.port) as listener, suppress(asyncio.CancelledError):
        asyncio.run(_run(settings, listener))


async def _run(settings: Settings, listener: socket.socket) -> None:
    children: list[Child] = []
    _handle_signals(children)
    async with AsyncExitStack() as stack:

        async def keep(child: Child) -> None:
            children.append(child)
            await stack.enter_async_context(running(child))

        redis_url = settings.redis_url
        if redis_url is None:
            path = valkey.socket_path(settings.data_dir)
            await valkey.remove_leftover(path, REDIS_LIMIT)
            await keep(_redis(settings, path))
            await valkey.wait_until_up(path, REDIS_LIMIT)
            redis_url = valkey.url(path)
        key = await development_key(settings)
        ours = _api(settings, redis_url, listener), _worker(settings, redis_url)
        for child in ours:
            await keep(child)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(greet(settings, listener, key))
            tasks.create_task(_restart_on_change(ours))


def _redis(settings: Settings, path: Path) -> Child:
    command = valkey.command(valkey.find_server(), settings.data_dir, path)
    return Child("redis", command, colour=typer.colors.RED)


def _api(settings: Settings, redis_url: str, listener: socket.socket) -> Child:
    return Child(
        "api",
        [*APP, "api", "--fd", str(listener.fileno())],
        environment={"REDIS_URL": redis_url},
        pass_fds=[listener.fileno()],
        grace=settings.shutdown_grace + settings.close_timeout,
        colour=typer.colors.BLUE,
    )


def _worker(settings: Settings, redis_url: str) -> Child:
    return Child(
        "worker",
        [*APP, "worker"],
        environment={"REDIS_URL": redis_url},
        grace=settings.shutdown_grace + settings.close_timeout,
        colour=typer.colors.GREEN,
    )


async def _restart_on_change(children: Iterable[Child]) -> None:
    async for _ in awatch(CODE, watch_filter=PythonFilter()):
        for child in children:
            child.say("starts again: code changed")
            child.restart(RELOAD_GRACE)


def _handle_signals(children: list[Child]) -> None:
    """Let the first signal stop everything in order, the second kill it."""
    everything = asyncio.current_task()
    signals = 0

    def stop() -> None:
        nonlocal signals
        signals += 1
        if signals == 1 and everything:
            typer.echo("Stopping; once more to kill.", err=True)
            everything.cancel()
        else:
            for child in children:
                child.kill()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def _listen(host: str, port: int) -> socket.socket:
    """Return the socket that each start of the API inherits: its clients wait out a restart."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise CannotStart(
            f"Port {port} of {host} is not to be had ({error.strerror}):"
            " stop what uses it, or set PORT to another."
        ) from None
