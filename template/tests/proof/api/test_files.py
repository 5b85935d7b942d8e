"""An upload that breaks off leaves nothing to be seen; a repeated one leaves one file."""

import asyncio
import socket
from uuid import uuid4

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from sqlalchemy.orm import Session

from engine.batches import files
from engine.callers import keys
from engine.sql.tables import FileRow
from tests.lines import chats
from tests.service import Service, eventually

BOUNDARY = "cut"
BEGINNING = (
    f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n'
)


def test_an_upload_that_breaks_off_is_no_error_of_ours_and_leaves_nothing(live: Service) -> None:
    key = live.new_key(uuid4().hex)
    head = (
        "POST /v1/files HTTP/1.1\r\nhost: test\r\nx-request-id: breaks-off\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: 9000000\r\n"
        f"content-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", live.settings.port)) as connection:
        connection.sendall((head + BEGINNING).encode() + b"x" * 3_000_000)
    api = live.programs[0]
    eventually(lambda: "[breaks-off] POST /v1/files" in api.text())
    assert "[breaks-off] POST /v1/files 499" in api.text()
    with live.client(key) as client:
        assert client.files.list().data == []


def test_half_an_upload_of_a_killed_process_is_not_there(
    live: Service, client: OpenAI, key: str
) -> None:
    file_id = live.in_database(_begin_upload, key)
    assert file_id not in [file.id for file in client.files.list()]
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(file_id)
    with pytest.raises(openai.NotFoundError):
        client.batches.create(
            input_file_id=file_id, endpoint="/v1/embeddings", completion_window="24h"
        )


def _begin_upload(session: Session, key: str) -> str:
    caller = keys.find_caller(session, key)
    assert caller
    file_id = files.begin_file(session, caller.id, filename="in.jsonl", purpose="batch")
    files.append_part(session, caller.id, file_id, 0, b"{}\n")
    return file_id


def test_abandoned_uploads_are_gone_and_finished_ones_stay(
    live: Service, client: OpenAI, key: str
) -> None:
    caller = live.in_database(keys.find_caller, key)
    assert caller
    begun, finished = (live.in_database(_begin_upload, key) for _ in range(2))
    live.in_database(files.finish_file, caller.id, finished)
    for file_id in (begun, finished):
        live.in_database(files.abandon_file, caller.id, file_id)
    assert live.in_database(_exists, begun) is False
    assert client.files.content(finished).content == b"{}\n"


def _exists(session: Session, file_id: str) -> bool:
    return session.get(FileRow, file_id) is not None


@pytest.mark.parametrize("before", ["", 'filename="na_ve.jsonl"; '])
def test_a_name_may_be_in_its_extended_form(live: Service, key: str, before: str) -> None:
    name = f"{before}filename*=UTF-8''na%C3%AFve.jsonl"
    body = BEGINNING.replace('filename="x"', name) + "x" * 2_000_000 + f"\r\n--{BOUNDARY}--\r\n"
    with live.http(key) as http:
        headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
        stored = http.post("/v1/files", content=body.encode(), headers=headers).json()
    assert (stored["filename"], stored["bytes"]) == ("naïve.jsonl", 2_000_000)


def test_another_time_to_keep_a_file_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="expires_after"):
        client.files.create(
            file=("in.jsonl", b"{}"),
            purpose="batch",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )


@pytest.fixture
def once() -> dict[str, str]:
    """A key that has not been used."""
    return {"Idempotency-Key": uuid4().hex}


def test_simultaneous_uploads_with_one_key_leave_one_file(
    live: Service, once: dict[str, str]
) -> None:
    key = live.new_key(uuid4().hex)

    async def upload(client: AsyncOpenAI) -> str:
        content = ("in.jsonl", b"x" * 3_000_000)
        file = await client.files.create(file=content, purpose="batch", extra_headers=once)
        return file.id

    async def upload_all() -> set[str]:
        async with live.async_client(key) as client:
            return set(await asyncio.gather(*(upload(client) for _ in range(4))))

    (file_id,) = asyncio.run(upload_all())
    assert live.in_database(_files_of_the_owner, file_id) == 1


def _files_of_the_owner(session: Session, file_id: str) -> int:
    owner = session.get_one(FileRow, file_id).caller_id
    return session.query(FileRow).filter_by(caller_id=owner).count()


@pytest.mark.parametrize(
    ("name", "content"), [("in.jsonl", b"other"), ("other.jsonl", b"{}")], ids=["bytes", "name"]
)
def test_another_file_with_the_key_is_refused(
    client: OpenAI, once: dict[str, str], name: str, content: bytes
) -> None:
    upload = client.files.create
    made = [upload(file=("in.jsonl", b"{}"), purpose="batch", extra_headers=once) for _ in range(2)]
    assert made[0] == made[1]
    with pytest.raises(openai.UnprocessableEntityError):
        upload(file=(name, content), purpose="batch", extra_headers=once)


def test_an_answer_survives_the_end_of_what_it_describes(
    client: OpenAI, once: dict[str, str]
) -> None:
    file = client.files.create(file=("in.jsonl", chats(1)), purpose="batch", extra_headers=once)
    client.files.delete(file.id)
    again = client.files.create(file=("in.jsonl", chats(1)), purpose="batch", extra_headers=once)
    assert again == file
