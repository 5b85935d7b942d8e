"""Conversations: one turn after the other, whatever happens at once; none is another caller's."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine.body import read_field
from engine.errors import InvalidRequest, NotFound
from engine.models.wire import Json
from engine.responses import background, conversations, item_pages, store
from engine.responses.schema import ResponseRequest, new_response
from engine.responses.transcript import LONGEST_CHAIN, Transcript
from engine.sql.database import Database
from engine.sql.pagination import PageQuery
from engine.sql.tables import CallerRow, ConversationRow, ResponseItemRow, ResponseRow
from tests.proof.machines import past
from tests.proof.machines.races import Counted, Held, run_into
from tests.proof.responses.test_background import deltas_logged, ended, let_expire
from tests.service import Service, eventually, free_port, service

pytestmark = pytest.mark.anyio

ROOM = 10**6
KINDS = {background.RESPOND.name: background.RESPOND}
STRANGER = "caller_b"
MODEL = "simulated-chat"


@pytest.fixture
async def database(database: Database) -> Database:
    """The database, with two callers."""

    def add(session: Session) -> None:
        past.add_caller(session)
        session.add(CallerRow(id=STRANGER, name="bob", flags=[], created_at=0.0))

    await database.write(add)
    return database


def said(text: str, **more: object) -> Json:
    return {"type": "message", "role": "user", "content": text, **more}


def make(session: Session, *given: str) -> str:
    items = [said(text) for text in given]
    made = conversations.begin_conversation(
        session, past.CALLER, items=items, metadata={}, most_bytes=ROOM
    )
    return made.id


def asked(conversation_id: str | None, text: str = "q", **more: object) -> ResponseRequest:
    body = {"model": "m", "input": text, "conversation": conversation_id, **more}
    return read_field(ResponseRequest, body, "")


def read(
    session: Session, request: ResponseRequest, caller: str = past.CALLER, room: int = ROOM
) -> Transcript:
    return conversations.read_turn(session, caller, request, room)


def answered(request: ResponseRequest, text: str = "a", status: str = "completed") -> Json:
    output = [{"type": "message", "role": "assistant", "content": text, "id": f"msg_{text}"}]
    return {**new_response(request), "status": status, "output": output}


def take_turn(session: Session, /, conversation_id: str, text: str = "q", **more: object) -> str:
    """Answer a request in a conversation; return the response's id."""
    status = str(more.pop("status", "completed"))
    request = asked(conversation_id, text, **more)
    response = answered(request, f"re:{text}", status)
    conversations.save_turn(session, past.CALLER, response, read(session, request))
    return str(response["id"])


def hold(session: Session, conversation_id: str) -> str:
    """Start a background response in a conversation; return its id."""
    request = asked(conversation_id, background=True)
    transcript = read(session, request)
    return background.start_response(
        session, past.CALLER, request, transcript, request_id="req_1", traceparent=None
    ).id


def texts(session: Session, conversation_id: str) -> list[str]:
    """Return the texts that the next turn reads."""
    transcript = read(session, asked(conversation_id, background=True))
    return [item["content"] for item in transcript.history]


class TestTurns:
    async def test_of_two_at_once_one_is_refused_and_nothing_is_lost(
        self, database: Database
    ) -> None:
        conversation_id = await database.write(make, "q0")
        requests = [asked(conversation_id, text) for text in ("q1", "q2")]
        both = [(each, await database.read(read, each)) for each in requests]
        ends = [
            database.write(
                conversations.save_turn,
                past.CALLER,
                answered(request, str(request.input)),
                transcript,
            )
            for request, transcript in both
        ]
        results = await asyncio.gather(*ends, return_exceptions=True)
        (refused,) = [each for each in results if each is not None]
        assert isinstance(refused, InvalidRequest)
        assert (refused.code, refused.param) == ("conversation_locked", "conversation")
        (winner,) = [r.input for r, result in zip(requests, results, strict=True) if not result]
        assert await database.read(texts, conversation_id) == ["q0", winner, winner]

    async def test_of_two_in_the_background_one_is_refused(self, database: Database) -> None:
        conversation_id = await database.write(make)
        both = [database.write(hold, conversation_id) for _ in range(2)]
        results = await asyncio.gather(*both, return_exceptions=True)
        (refused,) = [each for each in results if not isinstance(each, str)]
        assert isinstance(refused, InvalidRequest)
        assert refused.code == "conversation_locked"

    async def test_two_that_continue_the_same_response_at_once_both_succeed(
        self, database: Database
    ) -> None:
        conversation_id = await database.write(make)
        await database.write(take_turn, conversation_id, "a")
        last = await database.write(take_turn, conversation_id, "b")
        await database.write(lambda session: session.execute(update(ResponseRow).values(used_at=1)))
        requests = [asked(None, f"q{n}", previous_response_id=last) for n in range(8)]
        transcripts = [await database.read(read, each) for each in requests]
        ends = [
            database.write(
                conversations.save_turn,
                past.CALLER,
                answered(request, str(request.input)),
                transcript,
            )
            for request, transcript in zip(requests, transcripts, strict=True)
        ]
        await asyncio.gather(*ends)
        assert await database.read(oldest_use) > past.ago(1)

    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite: one writer
    async def test_the_links_of_a_chain_are_locked_in_one_order(self, database: Database) -> None:
        await meet_on_chain(database, forwards=True)

    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
    async def test_in_another_order_they_would_deadlock(self, database: Database) -> None:
        with pytest.raises(AssertionError, match="deadlock"):
            await meet_on_chain(database, forwards=False)

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    async def test_one_that_failed_is_no_part_of_it(self, database: Database, status: str) -> None:
        conversation_id = await database.write(make)
        await database.write(take_turn, conversation_id, status=status)
        assert await database.read(texts, conversation_id) == []

    async def test_one_that_is_not_stored_is_part_of_it_and_no_response(
        self, database: Database
    ) -> None:
        conversation_id = await database.write(make)
        response_id = await database.write(take_turn, conversation_id, store=False)
        assert await database.read(texts, conversation_id) == ["q", "re:q"]
        await refuse_hidden(database, response_id)

    @pytest.mark.parametrize("store", [True, False])
    async def test_one_in_a_conversation_that_is_gone_is_a_response_where_it_is_stored(
        self, database: Database, *, store: bool
    ) -> None:
        conversation_id = await database.write(make)
        request = asked(conversation_id, store=store)
        transcript = await database.read(read, request)
        await database.write(conversations.forget_conversation, past.CALLER, conversation_id)
        await database.write(conversations.save_turn, past.CALLER, answered(request), transcript)
        assert len(await database.read(rows_of, ResponseItemRow)) == 2 * store


async def meet_on_chain(database: Database, *, forwards: bool) -> None:
    """Let the end of a response come to a chain that another transaction locks link by link."""
    conversation_id = await database.write(make)
    ids = [await database.write(take_turn, conversation_id, text) for text in "ab"]
    await database.write(lambda session: session.execute(update(ResponseRow).values(used_at=1)))
    request = asked(None, previous_response_id=ids[-1])
    transcript = await database.read(read, request)

    def lock_one_by_one(session: Session) -> None:
        for link in ids if forwards else reversed(ids):
            session.execute(select(ResponseRow.id).filter_by(id=link).with_for_update())

    def end(session: Session) -> None:
        conversations.save_turn(session, past.CALLER, answered(request), transcript)

    await run_into(database, Held(lock_one_by_one, "SELECT"), Counted(end))


class TestHold:
    async def test_nothing_else_changes_a_conversation_that_is_held(
        self, database: Database
    ) -> None:
        conversation_id = await database.write(make, "q0")
        begun = asked(conversation_id)
        transcript = await database.read(read, begun)
        item_id = transcript.history[0]["id"]
        await database.write(hold, conversation_id)
        own = past.CALLER, conversation_id
        calls: list[Callable[[Session], object]] = [
            lambda session: hold(session, conversation_id),
            lambda session: take_turn(session, conversation_id),
            lambda session: conversations.save_turn(
                session, past.CALLER, answered(begun), transcript
            ),
            lambda session: conversations.append_items(session, *own, [said("x")], ROOM),
            lambda session: conversations.forget_item(session, *own, item_id),
        ]
        for call in calls:
            with pytest.raises(InvalidRequest) as refused:
                await database.write(call)
            assert refused.value.code == "conversation_locked"

    @pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
    async def test_its_end_frees_it_and_a_whole_one_is_read(
        self, database: Database, status: str
    ) -> None:
        conversation_id = await database.write(make)
        response_id = await database.write(hold, conversation_id)

        def end(session: Session) -> None:
            row = session.get_one(ResponseRow, response_id)
            background.end_response(session, row, {"status": status})

        await database.write(end)
        whole = status != "failed"
        assert await database.read(texts, conversation_id) == ["q"] * whole
        await database.write(take_turn, conversation_id)

    async def test_its_deletion_frees_it(self, database: Database) -> None:
        conversation_id = await database.write(make)
        response_id = await database.write(hold, conversation_id)
        await database.write(background.delete_response, past.CALLER, response_id, KINDS)
        await database.write(take_turn, conversation_id)

    async def test_it_ends_also_where_the_conversation_was_deleted(
        self, database: Database
    ) -> None:
        conversation_id = await database.write(make)
        response_id = await database.write(hold, conversation_id)
        await database.write(conversations.forget_conversation, past.CALLER, conversation_id)
        await database.write(background.cancel_response, past.CALLER, response_id, KINDS)
        found = await database.read(store.find_response, past.CALLER, response_id)
        assert found.status == "cancelled"


class TestItems:
    async def test_added_items_are_read_and_are_no_response(self, database: Database) -> None:
        conversation_id = await database.write(make, "q0")
        await database.write(take_turn, conversation_id)
        await database.write(
            conversations.append_items, past.CALLER, conversation_id, [said("x"), said("y")], ROOM
        )
        assert await database.read(texts, conversation_id) == ["q0", "q", "re:q", "x", "y"]
        row = await database.read(head_of, conversation_id)
        await refuse_hidden(database, row)

    async def test_a_deleted_item_is_read_no_more(self, database: Database) -> None:
        conversation_id = await database.write(make, "a", "b", "c")
        history = (await database.read(read, asked(conversation_id))).history
        await database.write(
            conversations.forget_item, past.CALLER, conversation_id, history[1]["id"]
        )
        assert await database.read(texts, conversation_id) == ["a", "c"]
        with pytest.raises(NotFound):
            await database.write(
                conversations.forget_item, past.CALLER, conversation_id, history[1]["id"]
            )

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("limit", [1, 2, 3, 10])
    async def test_pages_have_every_item_once_in_either_order(
        self, database: Database, order: str, limit: int
    ) -> None:
        conversation_id = await database.write(make, "0", "1")
        await database.write(take_turn, conversation_id, "2")
        await database.write(
            conversations.append_items, past.CALLER, conversation_id, [said("4"), said("5")], ROOM
        )
        told, after = [], None
        while True:
            query = PageQuery(after=after, limit=limit, order=order)
            page = await database.read(
                conversations.page_of_conversation, past.CALLER, conversation_id, query
            )
            told += [item["content"][0]["text"] for item in page.data]
            if not page.has_more:
                break
            after = page.last_id
        expected = ["0", "1", "2", "re:2", "4", "5"]
        assert told == (expected if order == "asc" else expected[::-1])

    @pytest.mark.parametrize(
        ("param", "item"),
        [
            ("items[1].role", {"type": "message", "content": "Hi"}),
            ("items[1].content[0]", {"role": "user", "content": [5]}),
            ("items[1].call_id", {"type": "function_call_output", "output": "x"}),
            (
                "items[1].content[0].file_id",
                {"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]},
            ),
            ("items", {"type": "message", "id": "a b", "role": "user", "content": "x"}),
            ("items", {"type": "item_reference", "id": "msg_unknown"}),
        ],
    )
    async def test_one_that_no_turn_could_read_is_refused(
        self, database: Database, param: str, item: Json
    ) -> None:
        conversation_id = await database.write(make, "a")
        with pytest.raises((InvalidRequest, NotFound)) as refused:
            await database.write(
                conversations.append_items, past.CALLER, conversation_id, [said("x"), item], ROOM
            )
        assert refused.value.param == param
        assert await database.read(texts, conversation_id) == ["a"]

    async def test_the_items_of_a_deleted_response_stay_with_its_conversation(
        self, database: Database
    ) -> None:
        conversation_id = await database.write(make)
        first = await database.write(take_turn, conversation_id, "a")
        second = await database.write(take_turn, conversation_id, "b")
        await database.write(store.forget_response, past.CALLER, first)
        await refuse_hidden(database, first)
        assert await database.read(texts, conversation_id) == ["a", "re:a", "b", "re:b"]
        await database.write(conversations.forget_conversation, past.CALLER, conversation_id)
        await database.write(store.forget_response, past.CALLER, second)
        assert second not in await database.read(rows_of, ResponseRow)


class TestLimits:
    async def test_a_conversation_has_so_many_turns_and_no_more(self, database: Database) -> None:
        conversation_id = await database.write(make)

        def add(session: Session) -> None:
            make_long(session, conversation_id)
            take_turn(session, conversation_id)
            take_turn(session, conversation_id)

        with pytest.raises(InvalidRequest, match="begin a new one") as refused:
            await database.write(add)
        assert refused.value.param == "conversation"

    async def test_its_items_have_so_many_bytes_and_no_more(self, database: Database) -> None:
        conversation_id = await database.write(make, "x" * 1000)
        for call in (
            lambda session: read(session, asked(conversation_id), room=1000),
            lambda session: conversations.append_items(
                session, past.CALLER, conversation_id, [said("y")], 1000
            ),
        ):
            with pytest.raises(InvalidRequest, match="more than 1000 bytes"):
                await database.write(call)


class TestIsolation:
    @pytest.mark.parametrize("kind", ["foreign", "unknown"])
    async def test_a_conversation_that_a_caller_lacks_is_not_found(
        self, database: Database, kind: str
    ) -> None:
        real = await database.write(make, "secret")
        item_id = (await database.read(read, asked(real))).history[0]["id"]
        lacking = real if kind == "foreign" else "conv_unknown"
        own = STRANGER, lacking
        calls: list[Callable[[Session], object]] = [
            lambda session: conversations.find_conversation(session, *own),
            lambda session: conversations.label_conversation(session, *own, {}),
            lambda session: conversations.forget_conversation(session, *own),
            lambda session: conversations.append_items(session, *own, [said("x")], ROOM),
            lambda session: conversations.page_of_conversation(session, *own, PageQuery()),
            lambda session: conversations.find_item(session, *own, item_id),
            lambda session: conversations.forget_item(session, *own, item_id),
            lambda session: read(session, asked(lacking), STRANGER),
            lambda session: read(session, asked(lacking, background=True), STRANGER),
        ]
        for call in calls:
            with pytest.raises(NotFound, match=f"^Conversation with id '{lacking}' not found.$"):
                await database.write(call)
        assert await database.read(texts, real) == ["secret"]

    async def test_an_item_of_another_conversation_is_not_found(self, database: Database) -> None:
        first, second = await database.write(make, "a"), await database.write(make, "b")
        item_id = (await database.read(read, asked(first))).history[0]["id"]
        for call in (conversations.find_item, conversations.forget_item):
            with pytest.raises(NotFound, match=f"Item with id '{item_id}' not found."):
                await database.write(call, past.CALLER, second, item_id)


async def test_any_metadata_come_back(database: Database) -> None:
    strange = {"a\0b": "\0 \U0001f98a"}
    conversation_id = await database.write(make)
    await database.write(conversations.label_conversation, past.CALLER, conversation_id, strange)
    found = await database.read(conversations.find_conversation, past.CALLER, conversation_id)
    assert found.metadata == strange


async def refuse_hidden(database: Database, response_id: str) -> None:
    """Check that a link is as good as unknown to all that reads responses."""
    own = past.CALLER, response_id
    calls: list[Callable[[Session], object]] = [
        lambda session: store.find_response(session, *own),
        lambda session: store.forget_response(session, *own),
        lambda session: background.cancel_response(session, *own, KINDS),
        lambda session: item_pages.page_of_input_items(session, *own, PageQuery()),
    ]
    for call in calls:
        with pytest.raises(NotFound, match=f"Response with id '{response_id}' not found."):
            await database.write(call)
    with pytest.raises(InvalidRequest) as refused:
        await database.read(read, asked(None, previous_response_id=response_id))
    assert refused.value.code == "previous_response_not_found"


def make_long(session: Session, conversation_id: str) -> None:
    """Give a conversation as many turns as it may have."""
    ids = [f"resp_{number}" for number in range(LONGEST_CHAIN)]
    own = {"caller_id": past.CALLER, "model": "m", "status": "completed", "background": False}
    at = {"created_at": past.ago(0), "finished_at": past.ago(0), "used_at": past.ago(0)}
    for each, before in zip(ids, [None, *ids], strict=False):
        session.add(ResponseRow(id=each, previous_id=before, body=b"{}", **own, **at))
    session.get_one(ConversationRow, conversation_id).head_id = ids[-1]
    session.flush()


def head_of(session: Session, conversation_id: str) -> str:
    return str(session.get_one(ConversationRow, conversation_id).head_id)


def oldest_use(session: Session) -> float:
    return min(session.scalars(select(ResponseRow.used_at)))


def rows_of(session: Session, table: type[Any]) -> list[str]:
    return list(session.scalars(select(table.id)))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose model says 20 words a second; no worker runs yet."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with service(
        tmp_path_factory.mktemp("conversations"),
        redis_url,
        url,
        lease_seconds=1.5,
        sweep_seconds=0.2,
        shutdown_grace=0.3,
        simulated_tokens_per_second=20,
    ) as ready:
        ready.start("api")
        yield ready


@pytest.fixture
def worked(api: Service) -> Iterator[Service]:
    """The service, whose other processes end with the test."""
    yield api
    for program in api.programs[1:]:
        program.stop()


@pytest.fixture
def http(api: Service) -> Iterator[httpx.Client]:
    with api.http(api.new_key(requests_per_minute=10_000)) as opened:
        yield opened


def begun(http: httpx.Client) -> str:
    return str(http.post("/v1/conversations", json={}).json()["id"])


def turn(http: httpx.Client, conversation_id: str, **more: object) -> httpx.Response:
    asked = {"model": MODEL, "input": "Hello", "conversation": conversation_id}
    return http.post("/v1/responses", json={**asked, "max_output_tokens": 4, **more})


def items_of(http: httpx.Client, conversation_id: str) -> list[Json]:
    listed = http.get(f"/v1/conversations/{conversation_id}/items", params={"order": "asc"})
    items: list[Json] = listed.json()["data"]
    return items


def code_of(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["code"])


def test_a_turn_that_another_one_overtook_fails(http: httpx.Client) -> None:
    conversation_id = begun(http)
    slow = {"model": MODEL, "input": "Slow", "conversation": conversation_id, "stream": True}
    with http.stream("POST", "/v1/responses", json={**slow, "max_output_tokens": 60}) as answer:
        lines = answer.iter_lines()
        assert "response.created" in next(lines)
        assert turn(http, conversation_id).status_code == 200
        events = [line for line in lines if line.startswith("data: ")]
    last = json.loads(events[-1].removeprefix("data: "))
    assert last["type"] == "response.failed"
    assert "at work on this conversation" in last["response"]["error"]["message"]
    assert len(items_of(http, conversation_id)) == 2


def test_a_killed_api_leaves_nothing_locked(worked: Service, http: httpx.Client) -> None:
    conversation_id = begun(http)
    other = worked.start("api", PORT=str(free_port()))
    slow = {"model": MODEL, "input": "Slow", "conversation": conversation_id, "stream": True}
    with (
        httpx.Client(base_url=other.url, headers=http.headers, timeout=60) as elsewhere,
        suppress(httpx.HTTPError),
        elsewhere.stream("POST", "/v1/responses", json=slow) as answer,
    ):
        lines = answer.iter_lines()
        assert "response.created" in next(lines)
        other.stop(signal.SIGKILL)
        assert "response.completed" not in "".join(lines)
    assert turn(http, conversation_id).status_code == 200


def test_a_killed_workers_response_holds_its_conversation_until_another_worker_ends_it(
    worked: Service, http: httpx.Client
) -> None:
    conversation_id = begun(http)
    first = worked.start("worker")
    started = turn(http, conversation_id, background=True, max_output_tokens=40).json()
    assert started["conversation"] == {"id": conversation_id}
    eventually(lambda: worked.in_database(deltas_logged, started["id"]))
    first.stop(signal.SIGKILL)
    assert code_of(turn(http, conversation_id)) == "conversation_locked"
    assert code_of(turn(http, conversation_id, background=True)) == "conversation_locked"
    worked.start("worker")
    final = ended(http, started["id"])
    assert turn(http, conversation_id).status_code == 200
    told = [item["id"] for item in items_of(http, conversation_id)]
    assert len(told) == 4
    assert told[1] == final["output"][0]["id"]


def test_a_cancelled_response_frees_its_conversation(api: Service, http: httpx.Client) -> None:
    conversation_id = begun(http)
    started = turn(http, conversation_id, background=True).json()
    assert code_of(turn(http, conversation_id)) == "conversation_locked"
    http.post(f"/v1/responses/{started['id']}/cancel")
    assert turn(http, conversation_id).status_code == 200
    assert len(items_of(http, conversation_id)) == 2


def test_a_response_whose_time_is_over_frees_its_conversation(
    worked: Service, http: httpx.Client
) -> None:
    conversation_id = begun(http)
    started = turn(http, conversation_id, background=True).json()
    worked.in_database(let_expire, started["id"])
    worked.start("worker")
    assert ended(http, started["id"])["status"] == "failed"
    assert turn(http, conversation_id).status_code == 200


def test_a_background_turn_that_is_sent_again_is_the_same_one(http: httpx.Client) -> None:
    conversation_id = begun(http)
    asked = {"model": MODEL, "input": "Hello", "background": True, "conversation": conversation_id}
    sent = {"idempotency-key": conversation_id}
    first, again = (http.post("/v1/responses", json=asked, headers=sent) for _ in range(2))
    assert first.json() == again.json()
