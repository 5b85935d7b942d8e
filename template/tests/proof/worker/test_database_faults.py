"""The database goes away for a while, or has no room: workers live on, and so does every item."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from engine.sql.tables import ItemRow
from tests.jobs.batches import check_whole, completed, submit, total
from tests.lines import chats
from tests.servers import Postgres, running
from tests.service import Service, eventually, service

LANES, CHUNK = 2, 5
ITEMS = 80
SETTINGS: dict[str, Any] = {
    "lease_seconds": 2,
    "sweep_seconds": 0.2,
    "batch_lanes": LANES,
    "batch_chunk": CHUNK,
    "simulated_latency": 0.2,
}


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory() as name, running(Postgres(Path(name))) as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    sudo = ["sudo", "-n"] if shutil.which("sudo") else []
    mount = [*sudo, "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"A small disk can only be made by root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([*sudo, "umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on the folder's disk; return the file that takes it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def workers_live(service: Service) -> bool:
    return [worker.command for worker in service.workers()] == ["worker"]


def check_cost(ready: Service, batch_id: str, faults: int) -> None:
    """What was in flight was run again, and no item was charged for it.

    A machine that is busy may take a lease from a worker too, which then tells so.
    """
    lost = sum(worker.text().count(" is lost: it was last renewed") for worker in ready.workers())
    repeated = ready.in_database(total, ItemRow.attempt, batch_id) - ITEMS
    assert repeated <= (faults * LANES + lost) * CHUNK
    assert ready.in_database(total, ItemRow.errors, batch_id) == 0


def test_postgresql_may_restart_and_crash_in_mid_batch(
    postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    with service(tmp_path, redis_url, postgres.url, **SETTINGS) as ready:
        ready.start("api", "worker")
        with ready.client(ready.new_key(), max_retries=10) as client:
            batch = submit(client, ITEMS)
            for done, how in (ITEMS // 4, signal.SIGINT), (ITEMS // 2, signal.SIGQUIT):
                eventually(lambda done=done: completed(client, batch) >= done)  # type: ignore[misc]
                postgres.stop(how)
                postgres.start()
            check_whole(client, batch, ITEMS)
        assert workers_live(ready)
        check_cost(ready, batch.id, faults=2)


def test_a_full_disk_is_told_and_nothing_is_lost(
    small_disk: Path, redis_url: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{small_disk / 'app.db'}"
    with service(tmp_path, redis_url, url, **SETTINGS) as ready:
        ready.start("api", "worker")
        with ready.client(ready.new_key(), max_retries=0) as client:
            batch = submit(client, ITEMS)
            eventually(lambda: completed(client, batch) >= ITEMS // 4)
            filler = fill(small_disk)
            check_refused(client)
            eventually(lambda: "disk is full" in ready.workers()[0].text())
            filler.unlink()
            check_whole(client, batch, ITEMS)
            check_whole(client, submit(client, 3), 3)
        assert workers_live(ready)
        check_cost(ready, batch.id, faults=1)


def check_refused(client: OpenAI) -> None:
    """An upload that finds no room is a server's error in the envelope, and is not seen."""
    with pytest.raises(APIStatusError) as caught:
        client.files.create(file=("in.jsonl", chats(5000)), purpose="batch")
    assert caught.value.status_code >= 500
    assert caught.value.type == "server_error"
    assert len(client.files.list().data) == 1
