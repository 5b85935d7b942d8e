"""Supervisor of `app dev`: Redis if none is given, then API and worker; they stop in reverse."""

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import typer
from watchfiles import PythonFilter, awatch

from engine.operate.dev import CannotStart, valkey
from engine.operate.dev.child import Child, running
from engine.operate.dev.greeting import development_key, greet
from engine.settings import NO_REDIS, Settings

REDIS_LIMIT = 10.0  # seconds for Valkey, which takes 0.1 with little data
SWEEP_WITHOUT_REDIS = 0.2  # seconds until a new batch starts, at most; 6 % of a core while idle
RELOAD_GRACE = 3.0  # seconds: changed code should show soon, also beside an open stream
CODE = [Path(__file__).parents[3] / name for name in ("app", "engine")]
APP = (sys.executable, "-m", "app.cli")
WITHOUT_REDIS = """
WARNING: this runs WITHOUT REDIS. {reason}
Until then calls are counted in the API process alone, and the worker looks for work by itself.
Nothing is lost by it, but production refuses to run so.
"""


def run_everything(settings: Settings) -> None:
    """Run until Ctrl-C or SIGTERM. Raise `CannotStart` where the port or Redis cannot be used."""
    with _listen(settings.host, settings.port) as listener, suppress(asyncio.CancelledError):
        asyncio.run(_run(settings, listener))


async def _run(settings: Settings, listener: socket.socket) -> None:
    children: list[Child] = []
    _handle_signals(children)
    async with AsyncExitStack() as stack:

        async def keep(child: Child) -> None:
            children.append(child)
            await stack.enter_async_context(running(child))

        redis_url = settings.redis_url or await _start_redis(settings, keep)
        key = await development_key(settings)
        environment = _environment(settings, redis_url)
        ours = _api(settings, environment, listener), _worker(settings, environment)
        for child in ours:
            await keep(child)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(greet(settings, listener, key))
            tasks.create_task(_restart_on_change(ours))


async def _start_redis(settings: Settings, keep: Callable[[Child], Awaitable[None]]) -> str:
    """Return the address of a new server, or `none` with a warning where none can run here."""
    path = valkey.socket_path(settings.data_dir)
    await valkey.remove_leftover(path, REDIS_LIMIT)
    try:
        server = valkey.find_server()
    except CannotStart as reason:
        typer.secho(WITHOUT_REDIS.format(reason=reason), fg=typer.colors.YELLOW, err=True)
        return NO_REDIS
    command = valkey.command(server, settings.data_dir, path)
    await keep(Child("redis", command, colour=typer.colors.RED))
    await valkey.wait_until_up(path, REDIS_LIMIT)
    return valkey.url(path)


def _environment(settings: Settings, redis_url: str) -> dict[str, str]:
    """Return the environment of API and worker. Without Redis a worker must poll for work."""
    if redis_url != NO_REDIS:
        return {"REDIS_URL": redis_url}
    often = min(settings.sweep_seconds, SWEEP_WITHOUT_REDIS)
    return {"REDIS_URL": redis_url, "SWEEP_SECONDS": str(often)}


def _api(settings: Settings, environment: Mapping[str, str], listener: socket.socket) -> Child:
    return Child(
        "api",
        [*APP, "api", "--fd", str(listener.fileno())],
        environment=environment,
        pass_fds=[listener.fileno()],
        grace=settings.stop_seconds,
        colour=typer.colors.BLUE,
    )


def _worker(settings: Settings, environment: Mapping[str, str]) -> Child:
    return Child(
        "worker",
        [*APP, "worker"],
        environment=environment,
        grace=settings.stop_seconds,
        colour=typer.colors.GREEN,
    )


async def _restart_on_change(children: Iterable[Child]) -> None:
    async for _ in awatch(*CODE, watch_filter=PythonFilter()):
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
            typer.echo("Stopping. Send the signal again to kill.", err=True)
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
            f"Port {port} on {host} cannot be opened ({error.strerror}):"
            " stop the process that uses it, or set PORT to another port."
        ) from None
