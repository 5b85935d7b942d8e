"""A name kept where all requests see it."""

import asyncio
import random
import time
from itertools import count

from aiohttp import ClientSession

from lab import server
from lab.measures import Experiment, Headline, Run, Sample, time_text
from lab.recording import Laboratory, callers, code_of, recording
from lab.servers import LabServer

CALLERS = 4
LONGEST_PAUSE = 0.1


async def contamination(laboratory: Laboratory) -> Experiment:
    """Return how many answers carry another caller's name."""
    wrong = Run(
        "The user in a global", "wrong", "the next request overwrites it", code_of(server.me_global)
    )
    right = Run(
        "The user in the request", "right", "a value, passed on", code_of(server.caller, server.me)
    )
    async with LabServer(laboratory.room("contamination")) as patient:
        mixed = await _asked(laboratory, patient, wrong, "/me/shared")
        clean = await _asked(laboratory, patient, right, "/me/request")
    asked, asked_right = len(wrong.people), len(right.people)
    return Experiment(
        name="contamination",
        title="Somebody else's name",
        setting=f"{CALLERS} callers, each with a name of its own, ask a route who they are, up to"
        f" {time_text(LONGEST_PAUSE)} after the last answer. Its answer takes a look-up of 5 ms.",
        runs=[wrong, right],
        rate_of="answers a second; hatched are those with another's name",
        verdict=f"With the user in a global, {mixed:,} of {asked:,} answers"
        f" ({mixed / max(1, asked):.0%}) carried another caller's name; with it in the request,"
        f" {clean:,} of {asked_right:,} did. Nothing else tells the two apart: the health check"
        f" took {time_text(wrong.median())} and {time_text(right.median())}, no request failed, and"
        " one caller alone would never see it.",
        shown=mixed > asked / 20 and clean == 0,
        lesson="What belongs to one request is never kept in process scope: app/dependencies/ hands"
        " it on.",
        headline=Headline(
            "answers with another's name", f"{mixed / max(1, asked):.0%}", f"{clean:,}"
        ),
        people_are="callers, red where the name was another's",
    )


async def _asked(laboratory: Laboratory, patient: LabServer, run: Run, path: str) -> int:
    """Load the route; return the answers with a wrong name."""
    numbers = count()

    async def ask(client: ClientSession) -> None:
        name, began = f"caller {next(numbers)}", time.monotonic()
        async with client.get(patient.url + path, headers={"x-user": name}) as answer:
            answer.raise_for_status()
            told = await answer.json()
        run.people.append(Sample(began, time.monotonic() - began, told == name))
        await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))

    async with recording(laboratory, run, patient):
        run.rate = await callers(CALLERS, laboratory.seconds, ask)
    mixed = sum(not sample.good for sample in run.people)
    run.wrong_rate = run.rate * mixed / max(1, len(run.people))
    return mixed
