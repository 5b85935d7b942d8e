"""A large batch in and out: seconds, memory, and how late the API's loop gets meanwhile.

`uv run python -m benchmarks.upload --help` tells the sizes. The client is the official one. Needs
Linux, whose `/proc` has the memory.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from openai import OpenAI
from openai.types import Batch

from benchmarks.lag import measuring
from benchmarks.memory import growing
from tests.servers import EmbeddedRedis, Postgres, running
from tests.service import Service, eventually, service

T = TypeVar("T")
MIB = 1024 * 1024
URL: Final = "/v1/embeddings"
DIMENSIONS = 150  # as JSON about 2 KB, like an answer of 400 words
ENDED = {"completed", "failed", "cancelled", "expired"}


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=50_000, help="lines of the large batch")
    parser.add_argument("--bytes", type=int, default=100_000_000, help="size of its file")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL instead of SQLite")
    options = parser.parse_args()
    with serving(on_postgres=options.postgres) as ready, ready.client(ready.new_key()) as client:
        measure(Steps(ready, client), options.lines, options.bytes)


@contextmanager
def serving(*, on_postgres: bool) -> Iterator[Service]:
    """Yield a service with one API and one worker."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(3)]
        redis = stack.enter_context(running(EmbeddedRedis(folders[0])))
        url = stack.enter_context(running(Postgres(folders[1]))).url if on_postgres else None
        ready = stack.enter_context(service(folders[2], redis.url, url))
        ready.start("api", "worker")
        yield ready


def measure(steps: "Steps", lines: int, size: int) -> None:
    """Print a row for each step; the first is the idle service."""
    say("step", "seconds", "API MiB", "worker MiB", "lag p50", "p99", "max ms")
    steps.run(steps.upload(10, 10_000))  # so that all code is loaded and all pools are full
    steps.row("nothing", lambda: time.sleep(3))
    large = steps.row(f"upload {size // MIB} MiB", lambda: steps.upload(lines, size))
    medium = steps.upload(10_000, size // 5)
    batch = steps.row("POST a batch of 10,000 lines", lambda: steps.create(medium))
    steps.cancel(batch)
    batch = steps.create(large)
    steps.row(f"take in {lines:,} lines", lambda: steps.wait(batch, "in_progress"))
    steps.row(f"run {lines:,} lines", lambda: steps.wait(batch))
    steps.row("read the output file", lambda: steps.read_output(batch))
    steps.row("read all /results", lambda: steps.read_results(batch))


def say(*cells: str) -> None:
    """Print a row."""
    first, *others = cells
    sys.stdout.write(f"{first:<30}" + "".join(f"{cell:>11}" for cell in others) + "\n")


@dataclass(frozen=True)
class Steps:
    """What a caller does with a batch."""

    ready: Service
    client: OpenAI

    def row(self, name: str, step: Callable[[], T]) -> T:
        """Do a step, print what it cost, and return its result."""
        port = self.ready.settings.port
        with growing(*self.ready.programs) as growth, measuring(port) as lag:
            started = time.perf_counter()
            result = step()
            seconds = time.perf_counter() - started
        memory = [f"{peak / MIB:.1f}" for peak in growth.peaks]
        late = [f"{1000 * each:.1f}" for each in (lag.at(0.5), lag.at(0.99), lag.at(1))]
        say(name, f"{seconds:.2f}", *memory, *late)
        return result

    def upload(self, lines: int, size: int) -> str:
        """Upload a file of this many lines and bytes; return its id."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "in.jsonl")
            with path.open("wb") as file:
                file.writelines(line(number, size // lines) for number in range(lines))
            return self.client.files.create(file=path, purpose="batch").id

    def create(self, file_id: str) -> Batch:
        """Submit a batch."""
        return self.client.batches.create(
            input_file_id=file_id, endpoint=URL, completion_window="24h"
        )

    def run(self, file_id: str) -> None:
        """Submit a batch, wait for its end and read it."""
        batch = self.create(file_id)
        self.wait(batch)
        self.read_output(batch)
        self.read_results(batch)

    def cancel(self, batch: Batch) -> None:
        """End a batch."""
        self.client.batches.cancel(batch.id)
        self.wait(batch)

    def wait(self, batch: Batch, *statuses: str) -> None:
        """Wait until a batch has one of these statuses or has ended."""
        wanted = ENDED.union(statuses)
        eventually(lambda: self.client.batches.retrieve(batch.id).status in wanted, limit=1800)

    def read_output(self, batch: Batch) -> None:
        """Read the output file, and keep none of it."""
        file_id = self.client.batches.retrieve(batch.id).output_file_id
        assert file_id
        with self.client.files.with_streaming_response.content(file_id) as content:
            for _ in content.iter_bytes():
                pass

    def read_results(self, batch: Batch) -> None:
        """Read all results, and keep none of them."""
        page: dict[str, Any] = {"has_more": True, "last_id": None}
        while page["has_more"]:
            query = {"limit": 1000, "after": page["last_id"]}
            page = self.client.get(
                f"/batches/{batch.id}/results",
                cast_to=dict[str, Any],
                options={"params": {name: value for name, value in query.items() if value}},
            )


def line(number: int, size: int) -> bytes:
    """Return a line of about this many bytes."""
    body = {"model": "simulated-embeddings", "input": "Hello", "dimensions": DIMENSIONS}
    each = {"custom_id": f"item-{number}", "method": "POST", "url": URL, "body": body}
    body["user"] = "x" * max(0, size - len(json.dumps(each)) - 14)
    return json.dumps(each).encode() + b"\n"


if __name__ == "__main__":
    main()
