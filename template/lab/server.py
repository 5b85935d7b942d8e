"""A server that breaks the rules of docs/execution-model.md, each beside the way that keeps it.

What is wrong here is wrong on purpose, and linters leave this file alone. Nothing imports it but
the laboratory, which shows these very lines in its report.
"""

import asyncio
import os
import socket
import struct
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Annotated, Any, BinaryIO

import uvicorn
from aiohttp import ClientSession, TCPConnector
from fastapi import BackgroundTasks, Depends, FastAPI, Header, Request

from engine.process.offload import Offload
from lab.parsing import parse

FOLDER, MODEL = "LAB_FOLDER", "LAB_MODEL"
"""Environment: where beats and finished work go, and a model server's address."""

BEAT = struct.Struct("dd")
BEATS, DONE = "beats", "done"
EVERY = 0.02
SLOTS = 8
CALL = 0.1
"""The model of the batches: calls that it serves at once, and seconds of each."""

SLOW = 0.5
THREADS = 40


class Model:
    """A model of so many slots. It answers whoever came first."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(SLOTS)
        self.answered: set[str] = set()

    async def ask(self, question: str) -> str:
        """Return an answer when there was a slot for it."""
        async with self.slots:
            await asyncio.sleep(CALL)
            self.answered.add(question)
            return f"an answer to {question}"


@dataclass(frozen=True, slots=True)
class Resources:
    """What all requests share."""

    folder: Path
    model_url: str
    http: ClientSession
    offload: Offload
    model: Model


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Resources]]:
    """Open what is shared, and let the heart beat."""
    folder = Path(os.environ[FOLDER])
    with (folder / BEATS).open("ab", buffering=0) as file:
        beating = asyncio.create_task(beat(file))
        async with ClientSession(connector=TCPConnector(limit=0)) as http:
            offload = Offload(THREADS, processes=1)
            yield {"shared": Resources(folder, os.environ[MODEL], http, offload, Model())}
        beating.cancel()


async def beat(file: BinaryIO) -> None:
    """Write down again and again how late the event loop comes back, so that a kill loses none."""
    while True:
        due = time.monotonic() + EVERY
        await asyncio.sleep(EVERY)
        now = time.monotonic()
        file.write(BEAT.pack(now, now - due))


async def shared_resources(request: Request) -> Resources:
    """Give what all requests share."""
    shared: Resources = request.state.shared
    return shared


Shared = Annotated[Resources, Depends(shared_resources)]
app = FastAPI(lifespan=lifespan)


@app.get("/live")
async def live() -> str:
    return "alive"


def fetch(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.read())


@app.get("/ask/blocking")
async def ask_blocking(shared: Shared) -> str:
    return fetch(shared.model_url)


@app.get("/ask/thread")
def ask_in_def(shared: Shared) -> str:
    return fetch(shared.model_url)


@app.get("/ask/offloaded")
async def ask_offloaded(shared: Shared) -> str:
    return await shared.offload.in_thread(fetch, shared.model_url)


@app.get("/ask/async")
async def ask_async(shared: Shared) -> str:
    async with shared.http.get(shared.model_url) as answer:
        return await answer.text()


@app.get("/slow/thread")
def slow_in_def() -> None:
    sleep(SLOW)


@app.get("/slow/offloaded")
async def slow_offloaded(shared: Shared) -> None:
    await shared.offload.in_thread(sleep, SLOW)


def version() -> str:
    return "1.0"


@app.get("/check", dependencies=[Depends(version)])
async def check() -> str:
    return "alive"


@app.get("/parse/loop")
async def parse_in_loop() -> int:
    return parse()


@app.get("/parse/thread")
async def parse_in_thread(shared: Shared) -> int:
    return await shared.offload.in_thread(parse)


@app.get("/parse/process")
async def parse_in_process(shared: Shared) -> int:
    return await shared.offload.in_process(parse)


@app.post("/chat")
async def chat(question: str, shared: Shared) -> str:
    return await shared.model.ask(question)


@app.post("/batch")
async def batch(questions: list[str], shared: Shared) -> list[str]:
    return await asyncio.gather(*map(shared.model.ask, questions))


@app.get("/answered")
async def answered(shared: Shared) -> int:
    return len(shared.model.answered)


@app.post("/work", status_code=202)
async def accept(item: str, tasks: BackgroundTasks, shared: Shared) -> str:
    tasks.add_task(work, item, shared)
    return "accepted"


async def work(item: str, shared: Resources) -> None:
    answer = await shared.model.ask(item)
    with (shared.folder / DONE).open("a") as file:
        file.write(f"{answer}\n")


async def look_up() -> None:
    await asyncio.sleep(0.005)  # as any handler awaits something: meanwhile others run


current_user = ""


@app.get("/me/shared")
async def me_global(x_user: Annotated[str, Header()]) -> str:
    global current_user
    current_user = x_user
    await look_up()
    return current_user


async def caller(x_user: Annotated[str, Header()]) -> str:
    return x_user


@app.get("/me/request")
async def me(user: Annotated[str, Depends(caller)]) -> str:
    await look_up()
    return user


def serve(descriptor: int) -> None:
    """Serve on a socket that listens already."""
    options: dict[str, Any] = {"log_level": "warning", "access_log": False}
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=1, **options))
    server.run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
