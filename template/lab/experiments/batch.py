"""A batch as one slow request, and as a job."""

import asyncio
import time

from aiohttp import ClientSession

from lab import server
from lab.batches import CHAT_URL, Batches, chat_body
from lab.measures import Experiment, Headline, Run, at, time_text
from lab.probe import Probe
from lab.recording import Laboratory, code_of, patient, recording, watching
from lab.servers import LabServer
from lab.upstream import proxy

EVERY = 0.05
PERSON = "a person"


async def batch(laboratory: Laboratory) -> Experiment:
    """Return what people and the batch's own client see of a batch, by the way it is done."""
    questions = [
        f"question {n}" for n in range(int(laboratory.seconds * server.SLOTS / server.CALL))
    ]
    patience = laboratory.seconds / 2
    request = Run(
        "A slow request", "wrong", "all its calls at once, in one handler", code_of(server.batch)
    )
    job = Run(
        "A job",
        "right",
        "this project's batches, with two processes",
        "POST /v1/files       the questions\nPOST /v1/batches     an id, once it is recorded\n"
        "GET  /v1/batches/…   how far it is\nGET  /v1/files/…     the answers",
    )
    got, vain = await _as_a_request(laboratory, request, questions, patience)
    had = await _as_a_job(laboratory, job, questions, patience)
    waits = [request.under_load(request.people), job.under_load(job.people)]
    (wrong, right), (wrong_late, right_late) = (
        [at(each, share) for each in waits] for share in (0.5, 0.95)
    )
    return Experiment(
        name="batch",
        title="A batch is not a slow request",
        setting=f"A client has {len(questions)} questions for a model of {server.SLOTS} slots, and"
        f" people ask the model one question every {time_text(EVERY)}. Each takes it"
        f" {time_text(server.CALL)}. A proxy before the server cuts off whoever hears nothing for"
        f" {time_text(patience)} (usual is a minute).",
        runs=[request, job],
        rate_of="items a second that reached the batch's client",
        verdict=f"In one request the batch took every slot: the median person waited"
        f" {time_text(wrong)} (95 %: {time_text(wrong_late)}), the proxy cut its client off with"
        f" {got} of {len(questions)} answers, and the server worked on for {time_text(vain)}, for"
        f" nobody. As a job it left room: the median person waited {time_text(right)}"
        f" (95 %: {time_text(right_late)}), and its client got {had} of {len(questions)} answers.",
        shown=wrong > 3 * right and got == 0 and had == len(questions),
        lesson="Accept, record, answer, and let a worker do it: POST /v1/batches, or a job of your"
        " own, see docs/adding-a-job.md.",
        headline=Headline("median wait of people", time_text(wrong), time_text(right)),
        progress_of="items that the batch's client knows to be done",
        people_are="people who ask the model",
        judged_by_people=True,
    )


async def _as_a_request(
    laboratory: Laboratory, run: Run, questions: list[str], patience: float
) -> tuple[int, float]:
    """Return the answers that the client got, and the seconds that the server worked for nobody."""
    async with (
        LabServer(laboratory.room("batch-request")) as slow,
        proxy(slow.url, patience) as address,
        patient() as client,
    ):
        people = Probe(f"{slow.url}/chat?question={PERSON}", EVERY, body="")
        async with recording(laboratory, run, slow, people=people):
            run.progress.append((time.monotonic(), 0))
            async with client.post(f"{address}/batch", json=questions) as answer:
                got = len(await answer.json()) if answer.ok else 0
            cut = time.monotonic()
            run.events.append((cut, "cut off"))
            while await _answered(client, slow.url) < len(questions):
                await asyncio.sleep(0.05)
            run.progress.append((time.monotonic(), got))
        return got, run.progress[-1][0] - run.events[0][0]


async def _answered(client: ClientSession, url: str) -> int:
    async with client.get(f"{url}/answered") as answer:
        return int(await answer.json())


async def _as_a_job(laboratory: Laboratory, run: Run, questions: list[str], patience: float) -> int:
    """Return the answers that the client got."""
    api, _, key, _ = await laboratory.app()
    async with proxy(api.url, patience) as address:
        people = Probe(f"{api.url}{CHAT_URL}", EVERY, key, chat_body(PERSON))
        async with Batches(address, key) as client, recording(laboratory, run, api, people=people):
            await client.submit(questions)
            async with watching(run, client.done):
                while not await client.ended():
                    await asyncio.sleep(0.1)
            had = await client.results()
            run.events.append((time.monotonic(), "all results"))
    run.rate = had / (run.end - run.begin)
    return had
