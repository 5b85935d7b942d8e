"""What a response costs beside a chat, and how soon a background response begins.

The same app answers both from the same model server: a response is the chat, its translation and
its row in SQL. Ratios of one run are comparable between machines; microseconds and bytes are this
machine's.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
from aiohttp import ClientSession, TCPConnector

from benchmarks.passthrough import CONNECTIONS, Subject, processor_time, ratio, server
from benchmarks.relays import TOKENS
from benchmarks.upload import say
from tests.servers import EmbeddedRedis, running
from tests.service import Service, free_port, service

HELLO = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", HELLO),
    "response, not stored": ("/v1/responses", {"input": "Hello", "store": False}),
    "response, stored": ("/v1/responses", {"input": "Hello"}),
}


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="whole answers of each round")
    parser.add_argument("--streams", type=int, default=128, help="streams of each round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median counts")
    parser.add_argument("--background", type=int, default=100, help="background responses")
    options = parser.parse_args()
    with started() as (app, subject):
        whole, streamed = measure(subject, options)
        waits = first_events(app, subject[2], options.background)
    say("processor time of the API", "µs/answer", "x chat", "µs/token", "x chat")
    for name in KINDS:
        say(
            f"  {name}",
            f"{median(whole[name]):.0f}",
            f"{ratio(whole[name], whole['chat']):.2f}",
            f"{median(streamed[name]):.1f}",
            f"{ratio(streamed[name], streamed['chat']):.2f}",
        )
    p50, p99 = median(waits), quantiles(waits, n=100)[98]
    say("from the answer to in_progress", "p50 ms", "p99 ms")
    say("  in the background", f"{p50 * 1e3:.0f}", f"{p99 * 1e3:.0f}")


@contextmanager
def started() -> Iterator[tuple[Service, Subject]]:
    """Yield an app with a worker on a model server that does nothing but answer."""
    with ExitStack() as stack:
        model = stack.enter_context(server("model", free_port()))[1]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(running(EmbeddedRedis(folder))).url
        settings: dict[str, Any] = {
            "model_provider": "openai",
            "openai_base_url": f"{model}/v1",
            "requests_per_minute": 0,
            "tokens_per_minute": 0,
            "model_slots": CONNECTIONS,
            "log_level": "WARNING",
        }
        own = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        app = stack.enter_context(service(own, redis, **settings))
        program = app.start("api")
        app.start("worker", LOG_LEVEL="INFO")  # at which it tells that it is ready
        yield app, (program.process.pid, app.url, app.new_key())


def measure(
    subject: Subject, options: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the microseconds for each answer, and for each token of a stream, by rounds."""
    whole: dict[str, list[float]] = {name: [] for name in KINDS}
    streamed: dict[str, list[float]] = {name: [] for name in KINDS}
    for number in range(options.rounds + 1):
        for name in KINDS:
            cost = asyncio.run(load(subject, name, options.requests, stream=False))
            cost_of_streams = asyncio.run(load(subject, name, options.streams, stream=True))
            if number:  # the first round warms up
                whole[name].append(cost / options.requests)
                streamed[name].append(cost_of_streams / options.streams / TOKENS)
    return whole, streamed


async def load(subject: Subject, kind: str, requests: int, *, stream: bool) -> float:
    """Send the requests; return the microseconds of processor time that the API took."""
    pid, url, key = subject
    path, asked = KINDS[kind]
    body = {**asked, "model": "m", "stream": stream}
    waiting = iter(range(requests))
    async with ClientSession(
        connector=TCPConnector(limit=CONNECTIONS), headers={"authorization": f"Bearer {key}"}
    ) as client:

        async def ask() -> None:
            for _ in waiting:
                async with client.post(url + path, json=body) as response:
                    answer = await response.read()
                    assert response.status == 200, answer

        before = processor_time(pid)
        await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
        await asyncio.sleep(0.2)  # what is counted after the answer belongs to its cost
        return (processor_time(pid) - before) * 1e6


def first_events(app: Service, key: str, number: int) -> list[float]:
    """Return the seconds from each background response's first event to that of its worker."""
    body = {"model": "m", "input": "Hello", "background": True, "stream": True}
    waits = []
    with app.http(key) as client:
        for _ in range(number):
            with client.stream("POST", "/v1/responses", json=body) as answer:
                waits.append(until_in_progress(answer))
    return waits


def until_in_progress(answer: httpx.Response) -> float:
    """Return the seconds until the event that the worker sends first."""
    began = time.perf_counter()
    for line in answer.iter_lines():
        if line == "event: response.in_progress":
            return time.perf_counter() - began
    raise AssertionError("the response never began")


if __name__ == "__main__":
    main()
