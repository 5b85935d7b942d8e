"""The experiments, in the order of docs/execution-model.md."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import typer

from engine.operate.dev.valkey import find_server
from lab.experiments.batch import batch
from lab.experiments.blocking import blocking
from lab.experiments.computing import computing
from lab.experiments.contamination import contamination
from lab.experiments.exhaustion import exhaustion
from lab.experiments.lost_work import lost_work
from lab.measures import Experiment
from lab.probe import prober
from lab.recording import Laboratory

EXPERIMENTS: Final[Mapping[str, Callable[[Laboratory], Awaitable[Experiment]]]] = {
    "blocking": blocking,
    "exhaustion": exhaustion,
    "computing": computing,
    "batch": batch,
    "lost-work": lost_work,
    "contamination": contamination,
}

NEED_REDIS = {"batch", "lost-work"}


async def run_all(names: Sequence[str], seconds: float) -> list[Experiment]:
    """Return the experiments of these names, done one after the other, with loads so long.

    Raise `CannotStart` where one of the servers cannot. SIGTERM cancels.
    """
    if NEED_REDIS & set(names):
        find_server()  # before anybody waits for the experiments that do without
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        async with AsyncExitStack() as stack:
            laboratory = Laboratory(
                Path(folder), seconds, await stack.enter_async_context(prober()), stack
            )
            return [await _run(name, laboratory) for name in names]


async def _run(name: str, laboratory: Laboratory) -> Experiment:
    typer.echo(f"{name:<14} ", nl=False)
    began = time.monotonic()
    experiment = await EXPERIMENTS[name](laboratory)
    what, wrong, right = experiment.headline
    typer.echo(f"{time.monotonic() - began:3.0f} s   {what}: {wrong}, or {right}")
    return experiment
