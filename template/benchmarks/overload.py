"""What a server does at twice the load that it can serve: with admission, with a cap, without.

`uv run python -m benchmarks.overload --help` tells the sizes. Callers come at random, whatever the
server does, and hang up when their time is out. Only answers before that are of use.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.batches import at
from benchmarks.upload import say
from tests.load import Load, arrivals
from tests.servers import EmbeddedRedis, running
from tests.service import service

CALL_SECONDS = 0.1
PATIENCE = 0.5
MANY = 10**6


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=10, help="calls that the model serves at once")
    parser.add_argument("--seconds", type=float, default=10, help="length of each run")
    parser.add_argument("--overload", type=float, default=2, help="times the model's capacity")
    parser.add_argument("--runs", type=int, default=3, help="runs of which the median counts")
    options = parser.parse_args()
    slots: int = options.slots
    capacity = slots / CALL_SECONDS
    controlled = {"max_requests": 2 * slots, "queue_target": 0.1, "queue_interval": 0.3}
    kinds: dict[str, dict[str, float]] = {
        "no admission": {"max_requests": MANY},
        "a cap of 4x, no queue": {"max_requests": 4 * slots, "max_waiting": 0},
        "a queue with a delay of 0.1 s": controlled,
    }
    say(f"{options.overload:g}x of {capacity:.0f} calls/s", "good/s", "share", "p50 ms", "p99 ms")
    for name, limits in kinds.items():
        with serving(slots, limits) as (url, key):
            loads = [
                asyncio.run(
                    arrivals(
                        url,
                        key,
                        rate=options.overload * capacity,
                        seconds=options.seconds,
                        patience=PATIENCE,
                        seed=seed,
                    )
                )
                for seed in range(options.runs)
            ]
        row(name, loads, options.seconds, capacity)


def row(name: str, loads: list[Load], seconds: float, capacity: float) -> None:
    """Print the medians of these runs."""
    good = median(load.good / seconds for load in loads)
    times = sorted(each for load in loads for each in load.seconds) or [0.0]
    half, most = (f"{1000 * at(times, share):.0f}" for share in (0.5, 0.99))
    say(f"  {name}", f"{good:.0f}", f"{good / capacity:.2f}", half, most)


@contextmanager
def serving(slots: int, limits: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Yield address and key of a server whose model serves `slots` calls at once."""
    settings: dict[str, Any] = {
        "simulated_latency": CALL_SECONDS,
        "simulated_tokens_per_second": MANY,
        "simulated_parallel": slots,
        "requests_per_minute": MANY,
        "tokens_per_minute": 0,
        "calls_per_caller": MANY,
        **limits,
    }
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        server = stack.enter_context(running(EmbeddedRedis(folders[0])))
        ready = stack.enter_context(service(folders[1], server.url, **settings))
        ready.start("api")
        yield ready.url, ready.new_key()


if __name__ == "__main__":
    main()
