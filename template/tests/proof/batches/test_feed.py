"""Results of a batch while it runs: each once, whatever the order in which items end."""

import asyncio
from typing import Any

import pytest
from openai import OpenAI
from sqlalchemy import Connection, NullPool, make_url, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.orm import Session

from engine.batches import batch_output
from engine.sql.tables import ItemRow
from tests.batches import HeldBatch, HoldBatch, ended, lines_of, submit
from tests.lines import chats
from tests.service import Service


@pytest.fixture
def held(live: Service, key: str, hold_batch: HoldBatch) -> HeldBatch:
    return hold_batch(live, key, 6)


def read(live: Service, key: str, batch_id: str, **query: object) -> Any:  # noqa: ANN401
    with live.http(key) as http:
        return http.get(f"/v1/batches/{batch_id}/results", params=query)  # type: ignore[arg-type]


def ids(page: dict[str, Any]) -> list[str]:
    return [each["custom_id"] for each in page["data"]]


def test_a_batch_without_results_says_when_to_come_back(
    live: Service, key: str, held: HeldBatch
) -> None:
    answer = read(live, key, held.id)
    assert answer.status_code == 202
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("1", "1000")
    assert answer.json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": True,
    }


def test_results_are_read_while_the_batch_runs_in_the_lines_of_its_files(
    live: Service, key: str, held: HeldBatch
) -> None:
    held.record(3)
    held.record(1, failed=True)
    answer = read(live, key, held.id)
    assert answer.status_code == 200
    good, bad = answer.json()["data"]
    assert good["response"]["body"] == {"n": 3, "padding": ""}
    assert (good["custom_id"], good["error"]) == ("item-3", None)
    error = bad["response"]["body"]["error"]
    assert (error["code"], error["message"]) == ("model_error", "No.")
    assert (bad["custom_id"], bad["error"]) == ("item-1", None)


def test_an_item_that_ends_late_is_not_skipped_for_its_small_number(
    live: Service, key: str, held: HeldBatch
) -> None:
    held.record(4, 5)
    first = read(live, key, held.id).json()
    held.record(0)
    held.record(2)
    second = read(live, key, held.id, after=first["last_id"]).json()
    assert [ids(first), ids(second)] == [["item-4", "item-5"], ["item-0", "item-2"]]


def test_a_reader_of_all_results_waits_with_the_same_cursor(
    live: Service, key: str, held: HeldBatch
) -> None:
    held.record(4)
    last = read(live, key, held.id).json()["last_id"]
    waiting = read(live, key, held.id, after=last)
    assert (waiting.status_code, waiting.json()["last_id"]) == (202, last)
    held.record(0)
    assert ids(read(live, key, held.id, after=last).json()) == ["item-0"]


def test_items_that_are_cut_off_come_last_and_end_the_feed(
    live: Service, key: str, held: HeldBatch
) -> None:
    held.record(5)
    held.record(1)
    assert read(live, key, held.id).json()["has_more"]
    held.close("cancelled")
    pages = [read(live, key, held.id, limit=2).json()]
    while pages[-1]["has_more"]:
        after = pages[-1]["last_id"]
        pages.append(read(live, key, held.id, limit=2, after=after).json())
    assert [ids(page) for page in pages] == [
        ["item-5", "item-1"],
        ["item-0", "item-2"],
        ["item-3", "item-4"],
    ]
    cut_off = read(live, key, held.id, limit=1, after=batch_output.line_id(held.id, 1)).json()
    assert cut_off["data"][0]["error"]["code"] == "batch_cancelled"


def test_an_ended_batch_without_results_is_no_reason_to_wait(
    live: Service, key: str, hold_batch: HoldBatch
) -> None:
    empty = hold_batch(live, key, 0)
    empty.close("failed")
    answer = read(live, key, empty.id)
    assert (answer.status_code, answer.json()["has_more"]) == (200, False)


def test_a_page_ends_where_its_answers_get_large(live: Service, key: str, held: HeldBatch) -> None:
    held.record(0, 1, 2, 3, size=batch_output.PAGE_BYTES // 2)
    first = read(live, key, held.id).json()
    second = read(live, key, held.id, after=first["last_id"]).json()
    assert [len(ids(first)), len(ids(second))] == [2, 2]


@pytest.mark.parametrize(
    "after", ["nothing", "batch_req_1_1", "{}x", "{}", "{}99", "{}" + "9" * 30]
)
def test_a_cursor_of_nothing_is_refused(
    live: Service, key: str, held: HeldBatch, after: str
) -> None:
    answer = read(live, key, held.id, after=after.format(batch_output.line_id(held.id)))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "after"


def test_an_item_that_has_not_ended_is_no_cursor(live: Service, key: str, held: HeldBatch) -> None:
    assert read(live, key, held.id, after=batch_output.line_id(held.id, 0)).status_code == 400


def test_results_of_a_real_batch_are_those_of_its_file(client: OpenAI) -> None:
    batch = submit(client, chats(30))
    seen: list[dict[str, Any]] = []
    page: dict[str, Any] = {"has_more": True, "last_id": None}
    while page["has_more"]:
        query = {"after": page["last_id"]} if page["last_id"] else {}
        page = client.get(f"/batches/{batch.id}/results", cast_to=dict, options={"params": query})
        seen += page["data"]
    written = lines_of(client, ended(client, batch).output_file_id)
    assert sorted(seen, key=lambda each: each["id"]) == sorted(written, key=lambda each: each["id"])


def test_places_are_taken_in_the_order_of_the_commits(
    on_postgres: Service, hold_batch: HoldBatch
) -> None:
    held = hold_batch(on_postgres, on_postgres.new_key(), 2)
    assert asyncio.run(end_at_once(held)) == {0: 1, 1: 2}


async def end_at_once(held: HeldBatch) -> dict[int, int | None]:
    """End item 0 and, before that is committed, item 1; return their places."""
    url = make_url(held.service.settings.sql_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as early, engine.connect() as late, engine.connect() as watching:
        await early.run_sync(_end, held, 0)
        waiting = asyncio.create_task(late.run_sync(_end, held, 1))
        while not (waiting.done() or await _somebody_waits(watching)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await early.commit()
        await waiting
        await late.commit()
        places = select(ItemRow.seq, ItemRow.place).where(ItemRow.batch_id == held.id)
        return dict((await watching.execute(places)).all())


def _end(connection: Connection, held: HeldBatch, seq: int) -> None:
    connection.begin()  # and not by the session, whose end would end it
    with Session(connection) as session:
        held.write(session, [seq])


async def _somebody_waits(connection: AsyncConnection) -> bool:
    waiting = await connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    return bool(waiting.scalar())
