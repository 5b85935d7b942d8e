"""Stored responses: chains, references, pages, deletion; none is another caller's."""

from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from engine.errors import InvalidRequest, NotFound
from engine.models.wire import Json, encode_json
from engine.responses import background, item_pages, store
from engine.responses.transcript import LONGEST_CHAIN, Transcript, read_transcript
from engine.sql.database import Database
from engine.sql.pagination import Page, PageQuery
from engine.sql.statements import new_id
from engine.sql.tables import (
    CallerRow,
    ResponseEventRow,
    ResponseItemRow,
    ResponseRow,
)
from tests.proof.machines import past

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
STRANGE = "NUL \0, half \ufffd, \U0001f98a"
TABLES = (ResponseRow, ResponseItemRow, ResponseEventRow)


@pytest.fixture
async def database(database: Database) -> Database:
    """The database, with two callers."""

    def add(session: Session) -> None:
        past.add_caller(session)
        session.add(CallerRow(id="caller_b", name="bob", flags=[], created_at=0.0))

    await database.write(add)
    return database


def said(role: str, text: str, **more: object) -> Json:
    return {"type": "message", "role": role, "content": text, **more}


def response(text: str, status: str = "completed") -> Json:
    output = [said("assistant", text, id=new_id("msg"))]
    head = {"id": new_id("resp"), "model": "m", "created_at": 1, "background": False}
    return {**head, "status": status, "output": output}


def save(
    session: Session,
    given: str = "Hi",
    answer: str = "Hello",
    *,
    caller: str = past.CALLER,
    after: str | None = None,
    status: str = "completed",
) -> str:
    """Keep a response to a text, which continues another one; return its id."""
    transcript = read_transcript(session, caller, after, [said("user", given)], 100 * MIB)
    kept = response(answer, status)
    store.save_response(session, caller, kept, transcript)
    session.flush()
    return str(kept["id"])


def add_chain(session: Session, links: int) -> str:
    """Keep a chain of so many responses, each with an input and an output; return the last id."""
    ids = [new_id("resp") for _ in range(links)]
    own = {"caller_id": past.CALLER, "model": "m", "status": "completed", "background": False}
    at = {"created_at": past.ago(0), "finished_at": past.ago(0), "used_at": past.ago(0)}
    for each, before in zip(ids, [None, *ids], strict=False):
        session.add(ResponseRow(id=each, previous_id=before, body=b"{}", **own, **at))
    session.flush()
    for place, each in enumerate(ids):
        for output, text in enumerate((f"q{place}", f"a{place}")):
            item = {"id": f"{each}{output}", "caller_id": past.CALLER, "output": bool(output)}
            data = encode_json(said("user", text))
            session.add(ResponseItemRow(response_id=each, position=output, data=data, **item))
    return ids[-1]


def texts(items: list[Json]) -> list[str]:
    return [item["content"] for item in items]


def read(
    session: Session,
    previous_id: str | None,
    *given: Json,
    caller: str = past.CALLER,
    most: int = MIB,
) -> Transcript:
    return read_transcript(session, caller, previous_id, [*given], most)


def count(session: Session, *tables: type[Any]) -> list[int]:
    return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


class TestChains:
    @pytest.mark.parametrize("links", [1, 200, LONGEST_CHAIN])
    async def test_the_items_of_a_chain_come_oldest_first(
        self, database: Database, links: int
    ) -> None:
        last = await database.write(add_chain, links)
        transcript = await database.read(read, last, said("user", "now"))
        expected = [text for place in range(links) for text in (f"q{place}", f"a{place}")]
        assert texts(transcript.history) == expected
        assert texts(transcript.given) == ["now"]
        assert (transcript.chain[0], len(transcript.chain)) == (last, links)

    async def test_a_longer_chain_is_refused(self, database: Database) -> None:
        last = await database.write(add_chain, LONGEST_CHAIN + 1)
        with pytest.raises(InvalidRequest, match=f"more than {LONGEST_CHAIN} responses") as refused:
            await database.read(read, last)
        assert refused.value.code == "context_length_exceeded"

    async def test_two_responses_may_continue_the_same_one(self, database: Database) -> None:
        first = await database.write(save, "q", "a")
        left = await database.write(save, "q1", "a1", after=first)
        right = await database.write(save, "q2", "a2", after=first)
        for each, answer in ((left, "a1"), (right, "a2")):
            assert texts((await database.read(read, each)).history)[-1] == answer

    async def test_a_request_that_continues_nothing_has_no_history(
        self, database: Database
    ) -> None:
        await database.write(save)
        assert await database.read(read, None) == Transcript([], [], [])

    async def test_a_history_may_have_so_many_bytes_and_no_more(self, database: Database) -> None:
        last = await database.write(add_chain, 3)
        size = sum(len(encode_json(each)) for each in (await database.read(read, last)).history)
        assert len((await database.read(read, last, most=size)).history) == 6
        with pytest.raises(InvalidRequest, match=f"more than {size - 1} bytes"):
            await database.read(read, last, most=size - 1)

    async def test_an_incomplete_response_can_be_continued(self, database: Database) -> None:
        last = await database.write(save, "q", "a", status="incomplete")
        assert texts((await database.read(read, last)).history) == ["q", "a"]

    @pytest.mark.parametrize("status", ["failed", "cancelled", "queued", "in_progress"])
    async def test_no_other_one_can(self, database: Database, status: str) -> None:
        last = await database.write(save, status=status)
        with pytest.raises(InvalidRequest, match=f"is {status}: continue") as refused:
            await database.read(read, last)
        assert refused.value.param == "previous_response_id"


class TestUnknown:
    @pytest.mark.parametrize("kind", ["unknown", "foreign", "deleted"])
    async def test_what_a_caller_has_not_cannot_be_continued(
        self, database: Database, kind: str
    ) -> None:
        gone = await lost(database, kind)
        with pytest.raises(InvalidRequest, match="not found") as refused:
            await database.read(read, gone)
        assert refused.value.message == f"Previous response with id '{gone}' not found."
        assert refused.value.code == "previous_response_not_found"

    async def test_a_chain_with_a_link_deleted_is_not_whole(self, database: Database) -> None:
        first = await database.write(save)
        second = await database.write(save, after=first)
        third = await database.write(save, after=second)
        await database.write(store.forget_response, past.CALLER, first)
        with pytest.raises(InvalidRequest, match=f"with id '{first}' not found"):
            await database.read(read, third)

    @pytest.mark.parametrize("kind", ["unknown", "foreign", "deleted"])
    async def test_what_a_caller_has_not_cannot_be_read_or_deleted(
        self, database: Database, kind: str
    ) -> None:
        gone = await lost(database, kind)
        before = await database.read(count, *TABLES)
        for call in (store.find_response, store.forget_response, first_page):
            with pytest.raises(NotFound, match=f"^Response with id '{gone}' not found.$"):
                await database.write(call, past.CALLER, gone)
        assert await database.read(count, *TABLES) == before


def first_page(session: Session, caller_id: str, response_id: str) -> Page[Json]:
    return item_pages.page_of_input_items(session, caller_id, response_id, PageQuery())


async def lost(database: Database, kind: str) -> str:
    """Return an id that the caller has not or no longer."""
    if kind == "unknown":
        return "resp_unknown"
    response_id = await database.write(save, caller="caller_b")
    if kind == "deleted":
        response_id = await database.write(save)
        await database.write(store.forget_response, past.CALLER, response_id)
    return response_id


class TestReferences:
    @pytest.mark.parametrize("form", [{"type": "item_reference"}, {"type": None}, {}])
    async def test_a_reference_is_the_item(self, database: Database, form: Json) -> None:
        kept = await database.write(save, "q", "a")
        (question, answer) = (await database.read(read, kept)).history
        references = [{**form, "id": item["id"]} for item in (answer, question)]
        transcript = await database.read(read, None, *references, said("user", "now"))
        assert texts(transcript.given) == ["a", "q", "now"]
        assert transcript.given[:2] == [answer, question]

    async def test_the_newest_item_of_an_id_counts(self, database: Database) -> None:
        def send_again(session: Session) -> None:
            for text in ("first", "second", "third"):
                transcript = Transcript.alone([said("user", text, id="msg_same")])
                store.save_response(session, past.CALLER, response("a"), transcript)

        await database.write(send_again)
        transcript = await database.read(read, None, {"type": "item_reference", "id": "msg_same"})
        assert texts(transcript.given) == ["third"]

    async def test_an_item_of_another_caller_is_unknown(self, database: Database) -> None:
        def keep(session: Session) -> None:
            transcript = Transcript.alone([said("user", "secret", id="msg_bob")])
            store.save_response(session, "caller_b", response("a"), transcript)

        await database.write(keep)
        reference = {"type": "item_reference", "id": "msg_bob"}
        assert (await database.read(read, None, reference, caller="caller_b")).given
        with pytest.raises(NotFound, match="Item with id 'msg_bob' not found"):
            await database.read(read, None, reference)

    async def test_a_whole_item_is_taken_as_it_is_sent(self, database: Database) -> None:
        def keep(session: Session) -> None:
            transcript = Transcript.alone([said("user", "old", id="msg_1")])
            store.save_response(session, past.CALLER, response("a"), transcript)

        await database.write(keep)
        named, sent = {"type": "item_reference", "id": "msg_1"}, said("user", "new", id="msg_1")
        assert texts((await database.read(read, None, named, sent)).given) == ["old", "new"]

    async def test_an_item_that_is_named_often_counts_as_often(self, database: Database) -> None:
        kept = await database.write(save, "q" * 1000)
        question, _ = (await database.read(read, kept)).history
        reference, size = {"id": question["id"]}, len(encode_json(question))
        assert len((await database.read(read, None, *[reference] * 3, most=3 * size)).given) == 3
        with pytest.raises(InvalidRequest, match="bytes"):
            await database.read(read, None, *[reference] * 4, most=3 * size)

    async def test_history_and_references_share_the_limit(self, database: Database) -> None:
        kept = await database.write(save, "q", "a")
        history = (await database.read(read, kept)).history
        size = sum(len(encode_json(item)) for item in history)
        with pytest.raises(InvalidRequest, match="bytes"):
            await database.read(read, kept, {"id": history[0]["id"]}, most=size)


class TestItems:
    @pytest.mark.parametrize(
        ("kind", "beginning"),
        [
            ("message", "msg_"),
            ("reasoning", "rs_"),
            ("function_call", "fc_"),
            ("function_call_output", "fco_"),
            ("mcp_approval_response", "item_"),
        ],
    )
    async def test_an_item_without_an_id_gets_one(self, kind: str, beginning: str) -> None:
        first, second = Transcript.alone([{"type": kind}, {"type": kind, "id": None}]).given
        assert first["id"].startswith(beginning)
        assert second["id"].startswith(beginning)
        assert first["id"] != second["id"]

    async def test_an_item_with_a_role_alone_is_a_message(self) -> None:
        (item,) = Transcript.alone([{"role": "user", "content": "Hi"}]).given
        assert item["type"] == "message"

    @pytest.mark.parametrize("item_id", ["a\0b", "a" * 65, "a b", "ä", "\ud800", 5, ["a"]])
    async def test_an_id_that_no_column_takes_is_refused(self, item_id: object) -> None:
        with pytest.raises(InvalidRequest, match="1 to 64") as refused:
            Transcript.alone([{"type": "message", "id": item_id}])
        assert refused.value.param == "input"

    async def test_any_text_comes_back(self, database: Database) -> None:
        kept = await database.write(save, STRANGE, STRANGE)
        assert texts((await database.read(read, kept)).history) == [STRANGE, STRANGE]
        stored = await database.read(store.find_response, past.CALLER, kept)
        assert encode_json(STRANGE) in stored.body


class TestPages:
    async def pages(
        self, database: Database, response_id: str, **query: object
    ) -> list[Page[Json]]:
        pages, after = [], None
        while True:
            asked = PageQuery(after=after, **query)
            page = await database.read(
                item_pages.page_of_input_items, past.CALLER, response_id, asked
            )
            pages.append(page)
            if not page.has_more:
                return pages
            after = page.last_id

    @pytest.fixture
    async def seven(self, database: Database) -> str:
        """A response with seven items as its input, which continues another one."""

        def keep(session: Session) -> str:
            first = save(session, "before")
            given = [said("user", str(place), id=f"msg_{place}") for place in range(7)]
            transcript = read_transcript(session, past.CALLER, first, given, MIB)
            kept = response("answer")
            store.save_response(session, past.CALLER, kept, transcript)
            return str(kept["id"])

        return await database.write(keep)

    @pytest.mark.parametrize("limit", [1, 3, 6, 7, 8])
    async def test_pages_have_the_own_input_in_either_order(
        self, database: Database, seven: str, limit: int
    ) -> None:
        for order, expected in (("asc", "0123456"), ("desc", "6543210")):
            pages = await self.pages(database, seven, limit=limit, order=order)
            told = [item["content"][0]["text"] for page in pages for item in page.data]
            assert "".join(told) == expected
            assert all(len(page.data) == limit for page in pages[:-1])
            assert all(page.first_id == page.data[0]["id"] for page in pages)

    async def test_the_newest_comes_first_where_no_order_is_asked_for(
        self, database: Database, seven: str
    ) -> None:
        (page,) = await self.pages(database, seven)
        assert (page.first_id, page.last_id) == ("msg_6", "msg_0")

    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_an_id_that_comes_twice_ends_no_page_for_ever(
        self, database: Database, order: str
    ) -> None:
        def keep(session: Session) -> str:
            given = [said("user", text, id="msg_same") for text in "ab"]
            kept = response("answer")
            store.save_response(session, past.CALLER, kept, Transcript.alone(given))
            return str(kept["id"])

        kept = await database.write(keep)
        assert len(await self.pages(database, kept, limit=1, order=order)) <= 2

    async def test_no_input_is_an_empty_page(self, database: Database) -> None:
        def keep(session: Session) -> str:
            kept = response("answer")
            store.save_response(session, past.CALLER, kept, Transcript.alone([]))
            return str(kept["id"])

        kept = await database.write(keep)
        (page,) = await self.pages(database, kept)
        assert page == Page(data=[], first_id=None, last_id=None, has_more=False)


async def test_a_deleted_response_leaves_nothing(database: Database) -> None:
    kept = await database.write(save)

    def log(session: Session) -> None:
        event = ResponseEventRow(response_id=kept, first_seq=0, last_seq=1, data=b"")
        session.add(event)

    await database.write(log)
    assert await database.read(count, *TABLES) == [1, 2, 1]
    await database.write(store.forget_response, past.CALLER, kept)
    assert await database.read(count, *TABLES) == [0, 0, 0]


class TestBackground:
    class Request(BaseModel):
        input: str = "Hi"
        model: str = "m"

    async def test_a_response_is_added_with_its_input_and_ends_with_its_output(
        self, database: Database
    ) -> None:
        kept = response("Hello", "completed")
        queued = {**kept, "status": "queued", "background": True, "output": []}
        transcript = Transcript.alone([said("user", "Hi")])

        def add(session: Session) -> None:
            store.add_response(
                session, past.CALLER, queued, transcript, request=self.Request(), job_id="job_1"
            )

        def finish(session: Session) -> None:
            row = session.get_one(ResponseRow, kept["id"])
            assert (row.request, row.finished_at) == (b'{"model":"m"}', None)
            background.end_response(session, row, kept)
            store.add_output(session, row, kept, transcript)

        await database.write(add)
        stored = await database.read(store.find_response, past.CALLER, kept["id"])
        assert (stored.status, stored.background, stored.job_id) == ("queued", True, "job_1")
        assert texts(await database.read(store.input_items, kept["id"])) == ["Hi"]
        await database.write(finish)
        stored = await database.read(store.find_response, past.CALLER, kept["id"])
        assert (stored.status, stored.body) == ("completed", encode_json(kept))
        assert texts((await database.read(read, kept["id"])).history) == ["Hi", "Hello"]


class TestUse:
    async def test_a_use_of_a_chain_is_a_use_of_all_its_responses(self, database: Database) -> None:
        last = await database.write(add_chain, 3)
        other = await database.write(save)
        await database.write(last_used, 2)
        newest = await database.write(save, after=last)
        ages = await database.read(days_since_use)
        assert ages.pop(other) == 2
        assert ages.pop(newest) == 0
        assert [*ages.values()] == [0, 0, 0]

    async def test_rows_that_were_used_today_are_not_written_again(
        self, database: Database
    ) -> None:
        last = await database.write(add_chain, 3)
        await database.write(last_used, 0.9)
        await database.write(save, after=last)
        assert sorted((await database.read(days_since_use)).values()) == [0, 1, 1, 1]


def last_used(session: Session, days: float) -> None:
    session.execute(update(ResponseRow).values(used_at=past.ago(days)))


def days_since_use(session: Session) -> dict[str, int]:
    used = session.execute(select(ResponseRow.id, ResponseRow.used_at).order_by(ResponseRow.id))
    return {response_id: round((past.ago(0) - at) / past.DAY) for response_id, at in used}
