"""Files on their way into vector stores: seconds, memory, late loops, and who waits meanwhile.

`uv run python -m benchmarks.ingestion --help` tells the sizes. Needs Linux, whose `/proc` has the
memory.
"""

import argparse
import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from openai import OpenAI
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.batches import at
from benchmarks.lag import measuring
from benchmarks.memory import growing
from benchmarks.upload import MIB, say
from engine.sql.database import open_database
from tests.documents.files import long_text, pdf
from tests.lines import chats
from tests.load import Load, in_turn
from tests.servers import EmbeddedRedis, Postgres, running
from tests.service import Service, free_port, service

WRITES_A_SECOND = 50
CALLERS = 10


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=50_000_000, help="size of the large text")
    parser.add_argument("--pages", type=int, default=5_000, help="pages of the PDF")
    parser.add_argument("--files", type=int, default=10, help="files beside chats and a batch")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL instead of SQLite")
    options = parser.parse_args()
    with serving(on_postgres=options.postgres) as ready, ready.client(ready.new_key()) as client:
        store = client.vector_stores.create().id
        ingest(client, store, "small.txt", b"".join(long_text(100_000)))  # all code is loaded
        one_file(ready, client, "text", "large.txt", b"".join(long_text(options.bytes)))
        pages = [f"Page {number} tells of foxes and ships." for number in range(options.pages)]
        one_file(ready, client, f"PDF of {options.pages} pages", "long.pdf", pdf(pages))
        many_files(ready, client, options.files)


@contextmanager
def serving(*, on_postgres: bool) -> Iterator[Service]:
    """Yield a service with one API and one worker that tells of itself."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(3)]
        redis = stack.enter_context(running(EmbeddedRedis(folders[0])))
        url = stack.enter_context(running(Postgres(folders[1]))).url if on_postgres else None
        settings: dict[str, Any] = {"document_chunks_per_caller": 10**6}
        settings |= {"simulated_latency": 0.02, "worker_metrics_port": free_port()}
        ready = stack.enter_context(service(folders[2], redis.url, url, **settings))
        ready.start("api", "worker")
        yield ready


def one_file(ready: Service, client: OpenAI, name: str, filename: str, data: bytes) -> None:
    """Print what it costs to ingest one file, and how long another writer waits meanwhile."""
    store = client.vector_stores.create().id
    waits: list[float] = []
    with (
        growing(*ready.programs) as growth,
        measuring(ready.settings.worker_metrics_port) as lag,
        writing(ready, waits),
    ):
        began = time.perf_counter()
        chunks = ingest(client, store, filename, data)
        seconds = time.perf_counter() - began
    say(f"{name}, {len(data) // MIB} MiB", "seconds", "chunks", "API MiB", "worker MiB")
    memory = [f"{peak / MIB:.1f}" for peak in growth.peaks]
    say("  ingested", f"{seconds:.1f}", str(chunks), *memory)
    say("  ms", "p50", "p99", "max")
    say("  lag of the worker's loop", *(f"{1000 * lag.at(each):.1f}" for each in (0.5, 0.99, 1)))
    say("  another writer's wait", *(f"{1000 * at(waits, each):.1f}" for each in (0.5, 0.99, 1)))


def many_files(ready: Service, client: OpenAI, files: int) -> None:
    """Print how long online callers wait alone, and beside ingestions and a batch."""
    key = ready.new_key("online", requests_per_minute=10**6)
    alone = asyncio.run(in_turn(ready.url, key, callers=CALLERS, seconds=10))
    store = client.vector_stores.create().id
    data = b"".join(long_text(2_000_000))
    ids = [
        client.files.create(file=(f"{number}.txt", data), purpose="assistants").id
        for number in range(files)
    ]
    lines = client.files.create(file=("in.jsonl", chats(20_000)), purpose="batch").id
    client.batches.create(
        input_file_id=lines, endpoint="/v1/chat/completions", completion_window="24h"
    )
    began = time.perf_counter()
    batch = client.vector_stores.file_batches.create(store, file_ids=ids)
    beside = asyncio.run(in_turn(ready.url, key, callers=CALLERS, seconds=20))
    client.vector_stores.file_batches.poll(batch.id, vector_store_id=store)
    seconds = time.perf_counter() - began
    say(f"{CALLERS} online callers, ms", "p50", "p99", "answers/s")
    row("  alone", alone, 10)
    row(f"  beside {files} files and a batch", beside, 20)
    say(f"  {files} files of 2 MB ingested", f"{seconds:.1f} s")


def row(name: str, load: Load, seconds: float) -> None:
    """Print the waits of online callers."""
    waits = sorted(load.seconds)
    half, most = (f"{1000 * at(waits, share):.1f}" for share in (0.5, 0.99))
    say(name, half, most, f"{load.good / seconds:.0f}")


def ingest(client: OpenAI, store: str, filename: str, data: bytes) -> int:
    """Ingest a file; return the number of its chunks."""
    file_id = client.files.create(file=(filename, data), purpose="assistants").id
    file = client.vector_stores.files.create_and_poll(file_id, vector_store_id=store)
    assert file.status == "completed", file.last_error
    job = json.loads(client.get("/jobs", cast_to=str, options={"params": {"limit": 1}}))["data"][0]
    return int(job["progress"]["chunks"])


@contextmanager
def writing(ready: Service, waits: list[float]) -> Iterator[None]:
    """Write as another process would while the block runs; note how long each write takes."""
    stopping = threading.Event()

    async def write() -> None:
        async with open_database(ready.settings) as database:
            while not stopping.is_set():
                began = time.perf_counter()
                await database.write(touch)
                waits.append(time.perf_counter() - began)
                await asyncio.sleep(1 / WRITES_A_SECOND)

    thread = threading.Thread(target=asyncio.run, args=[write()])
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        waits.sort()


def touch(session: Session) -> None:
    """Change one row that no other process writes."""
    session.execute(text("UPDATE callers SET name = name WHERE name = 'tester'"))


if __name__ == "__main__":
    main()
