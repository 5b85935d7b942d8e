"""The same load on several routes of the laboratory's server, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import ClientSession

from lab.measures import Run
from lab.recording import Laboratory, callers, patient, recording
from lab.servers import LabServer


@dataclass(frozen=True)
class Trial:
    """A run to be done: the route under load, and the route that is probed meanwhile."""

    run: Run
    path: str
    probed: str = "/live"


async def tried(
    laboratory: Laboratory, server: LabServer, count: int, trials: Sequence[Trial]
) -> list[Run]:
    """Return the runs, each with so many callers who ask again when they are answered."""
    for trial in trials:

        async def ask(client: ClientSession, url: str = server.url + trial.path) -> None:
            async with client.get(url) as answer:
                answer.raise_for_status()
                await answer.read()

        async with patient() as client:  # what is made at the first request is not measured
            await ask(client)
        async with recording(laboratory, trial.run, server, trial.probed) as run:
            run.rate = await callers(count, laboratory.seconds, ask)
    return [trial.run for trial in trials]
