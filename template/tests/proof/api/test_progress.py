"""A batch watched live: each change is an event, the last one its end."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI, Stream
from openai.types import Batch

from app.api import streaming
from app.main import create_app
from tests.api.serving import serving
from tests.batches import HeldBatch, HoldBatch, ended, submit
from tests.lines import chats
from tests.service import Service, service


@pytest.fixture
def held(live: Service, key: str, hold_batch: HoldBatch) -> HeldBatch:
    return hold_batch(live, key, 3)


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def completed(event: dict[str, Any]) -> int:
    counts: dict[str, int] = event["request_counts"]
    return counts["completed"]


def test_every_change_is_an_event_and_the_end_is_the_last(
    live: Service, key: str, held: HeldBatch
) -> None:
    with live.http(key) as http, http.stream("GET", f"/v1/batches/{held.id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        changes = events(answer)
        seen = [next(changes)]
        held.record(2)
        seen.append(next(changes))
        held.record(0, 1)
        held.close("completed")
        seen += changes
    assert [completed(event) for event in seen[:2]] == [0, 1]
    assert (completed(seen[-1]), seen[-1]["status"]) == (3, "completed")


def test_a_reader_who_comes_back_gets_the_present_state_first(
    live: Service, key: str, held: HeldBatch
) -> None:
    for count in range(2):
        with live.http(key) as http, http.stream("GET", f"/v1/batches/{held.id}/events") as answer:
            assert completed(next(events(answer))) == count
        held.record(count)


def test_an_ended_batch_is_one_event(client: OpenAI, live: Service, key: str) -> None:
    batch = ended(client, submit(client, chats(1)))
    with live.http(key) as http:
        (event,) = events(http.get(f"/v1/batches/{batch.id}/events"))
    assert event == client.batches.retrieve(batch.id).to_dict(mode="json")


def test_the_official_client_follows_a_batch_to_its_end(client: OpenAI) -> None:
    batch = submit(client, chats(20))
    changes = client.get(
        f"/batches/{batch.id}/events", cast_to=Batch, stream=True, stream_cls=Stream[Batch]
    )
    *_, last = changes
    assert last == client.batches.retrieve(batch.id)
    assert last.status == "completed"


@pytest.fixture(scope="module")
def prepared(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service for one watcher at a time, whose process is the test itself."""
    folder = tmp_path_factory.mktemp("progress")
    with service(folder, redis_url, progress_streams=1) as ready:
        yield ready


@pytest.mark.anyio
async def test_a_watcher_too_many_is_told_to_come_back_and_one_that_leaves_makes_room(
    prepared: Service, hold_batch: HoldBatch
) -> None:
    key = await asyncio.to_thread(prepared.new_key)
    held = await asyncio.to_thread(hold_batch, prepared, key, 1)
    path = f"/v1/batches/{held.id}/events"
    async with serving(create_app(prepared.settings)) as client:
        client.headers["authorization"] = f"Bearer {key}"
        async with client.stream("GET", path) as first:
            await anext(first.aiter_lines())
            refused = await client.get(path)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
        async with asyncio.timeout(30):
            while True:
                async with client.stream("GET", path) as later:
                    if later.status_code == 200:
                        break
        await asyncio.to_thread(held.close, "cancelled")


@pytest.mark.anyio
async def test_silence_is_filled_with_comments(
    prepared: Service, monkeypatch: pytest.MonkeyPatch, hold_batch: HoldBatch
) -> None:
    monkeypatch.setattr(streaming, "PING_SECONDS", 0.1)
    key = await asyncio.to_thread(prepared.new_key)
    held = await asyncio.to_thread(hold_batch, prepared, key, 1)
    async with serving(create_app(prepared.settings)) as client:
        client.headers["authorization"] = f"Bearer {key}"
        async with client.stream("GET", f"/v1/batches/{held.id}/events") as answer:
            pieces = answer.aiter_bytes()
            assert (await anext(pieces)).startswith(b"data: {")
            assert await anext(pieces) == b": ping\n\n"
