"""What a passed-through chat costs in processor time, against a relay that does nothing else.

The same requests go to a raw ASGI relay on aiohttp and to this app, which checks the body and the
key, admits, takes a slot and counts the tokens. Both ask the same model server. A stream's cost is
that of each piece sent, since a server that is late passes several tokens on in one. The ratios of
one run are comparable between machines; microseconds are not, and a busy machine raises the ratios.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

from aiohttp import ClientSession, TCPConnector

from benchmarks.upload import say
from engine.settings import NO_REDIS
from tests.lines import CHAT_URL, chat_body
from tests.servers import EmbeddedRedis, running
from tests.service import eventually, free_port, service

CONNECTIONS, STREAMS = 64, 16
"""Chats at once, whole and streamed: more streams would fill the machine."""
TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000, help="whole chats of each round")
    parser.add_argument("--streams", type=int, default=128, help="streamed chats of each round")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of which the median counts")
    options = parser.parse_args()
    with ExitStack() as stack:
        subjects = start(stack)
        whole, streamed = measure(subjects, options)
    say("processor time of the server", "µs/chat", "x relay", "µs/piece", "x relay")
    for name in subjects:
        say(
            f"  {name}",
            f"{median(whole[name]):.0f}",
            f"{ratio(whole[name], whole['relay']):.2f}",
            f"{median(streamed[name]):.1f}",
            f"{ratio(streamed[name], streamed['relay']):.2f}",
        )


def ratio(costs: list[float], others: list[float]) -> float:
    """Return the median of the ratios of each round: a machine is not as fast in all of them."""
    return median(cost / other for cost, other in zip(costs, others, strict=True))


Subject = tuple[int, str, str]
"""A process, the URL that it is asked at, and a key."""

HELLO = chat_body("Hello", max_tokens=100)


def start(stack: ExitStack) -> dict[str, Subject]:
    """Return the relays and the app, without slots over processes and with them."""
    model = stack.enter_context(server("model", free_port()))[1]
    pid, relay = stack.enter_context(server("relay", free_port(), model))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    redis = stack.enter_context(running(EmbeddedRedis(folder))).url
    subjects = {"relay": (pid, relay + CHAT_URL, "none")}
    pid, relay = stack.enter_context(server("fastapi", free_port(), model))
    subjects["FastAPI, a relay in it"] = pid, relay + CHAT_URL, "none"
    for name, url in (("app, slots of its own", NO_REDIS), ("app, slots in Redis", redis)):
        settings: dict[str, Any] = {
            "model_provider": "openai",
            "openai_base_url": f"{model}/v1",
            "requests_per_minute": 0,
            "tokens_per_minute": 0,
            "model_slots": CONNECTIONS,
            "log_level": "WARNING",
        }
        own = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        app = stack.enter_context(service(own, url, **settings))
        program = app.start("api")
        subjects[name] = (program.process.pid, app.url + CHAT_URL, app.new_key())
    return subjects


def measure(
    subjects: Mapping[str, Subject],
    options: argparse.Namespace,
    bodies: Mapping[str, dict[str, Any]] = MappingProxyType({}),
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the microseconds for each answer, and for each piece of a streamed one, by rounds.

    A subject without a body of its own is asked for a chat.
    """
    whole: dict[str, list[float]] = {name: [] for name in subjects}
    streamed: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(options.rounds + 1):
        for name, subject in subjects.items():
            body = bodies.get(name, HELLO)
            cost, _ = asyncio.run(load(subject, body, options.requests, stream=False))
            cost_of_streams, pieces = asyncio.run(load(subject, body, options.streams, stream=True))
            if number:  # the first round warms up
                whole[name].append(cost / options.requests)
                streamed[name].append(cost_of_streams / pieces)
    return whole, streamed


async def load(
    subject: Subject, body: dict[str, Any], requests: int, *, stream: bool
) -> tuple[float, int]:
    """Return the microseconds of processor time that the requests took, and the pieces sent."""
    pid, url, key = subject
    body = {**body, "model": "m", "stream": stream}
    waiting, pieces = iter(range(requests)), 0
    at_once = STREAMS if stream else CONNECTIONS
    async with ClientSession(
        connector=TCPConnector(limit=at_once), headers={"authorization": f"Bearer {key}"}
    ) as client:

        async def ask() -> None:
            nonlocal pieces
            for _ in waiting:
                async with client.post(url, json=body) as response:
                    assert response.status == 200, await response.read()
                    async for _, ended in response.content.iter_chunks():
                        pieces += ended

        before = processor_time(pid)
        await asyncio.gather(*(ask() for _ in range(at_once)))
        await asyncio.sleep(0.2)  # what is counted after the answer belongs to its cost
        return (processor_time(pid) - before) * 1e6, pieces


def processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@contextmanager
def server(kind: str, port: int, *arguments: str) -> Iterator[tuple[int, str]]:
    """Yield the process and the address of one of the servers of `benchmarks.relays`."""
    command = [sys.executable, "-m", "benchmarks.relays", kind, str(port), *arguments]
    with subprocess.Popen(command) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: asyncio.run(_answers(url)))
            yield process.pid, url
        finally:
            process.terminate()


async def _answers(url: str) -> bool:
    try:
        async with ClientSession() as client, client.get(url) as response:
            return response.status > 0
    except OSError:
        return False


if __name__ == "__main__":
    main()
