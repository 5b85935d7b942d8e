"""What a response costs beside a chat, and how soon a background response begins.

The same app answers both from the same model server: a response is the chat, its translation and
its row in SQL. Ratios of one run are comparable between machines; microseconds and bytes are this
machine's.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from benchmarks.passthrough import CONNECTIONS, HELLO, measure, ratio, server
from benchmarks.upload import say
from tests.lines import CHAT_URL
from tests.servers import EmbeddedRedis, running
from tests.service import Service, free_port, service

URL = "/v1/responses"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT_URL, HELLO),
    "response, not stored": (URL, {"input": "Hello", "store": False}),
    "response, stored": (URL, {"input": "Hello"}),
}


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="whole answers of each round")
    parser.add_argument("--streams", type=int, default=128, help="streams of each round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median counts")
    parser.add_argument("--background", type=int, default=100, help="background responses")
    options = parser.parse_args()
    with started() as (app, pid):
        key = app.new_key()
        subjects = {name: (pid, app.url + path, key) for name, (path, _) in KINDS.items()}
        bodies = {name: body for name, (_, body) in KINDS.items()}
        whole, streamed = measure(subjects, options, bodies)
        waits = first_events(app, key, options.background)
    say("processor time of the API", "µs/answer", "x chat", "µs/piece", "x chat")
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
def started() -> Iterator[tuple[Service, int]]:
    """Yield an app with a worker on a model server that does nothing but answer, and its API."""
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
        yield app, program.process.pid


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
