"""An answer that runs has no deadline but its reader's pace, and one that is cut is seen to be."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from sqlalchemy.orm import Session

from engine.batches import files
from engine.callers import keys
from tests.batches import HoldBatch
from tests.lines import chat_body
from tests.service import Service, eventually, free_port, service

TIME = 2.0
"""Seconds that a request has until its answer begins."""

CONTENT = b"0123456789abcdef" * (24 * 2**16)
"""24 MiB: more than all buffers between the database and a reader hold."""

MIB = 2**20


@pytest.fixture(scope="module")
def hasty(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose requests have little time, and its readers too."""
    folder = tmp_path_factory.mktemp("hasty")
    with service(
        folder,
        redis_url,
        request_timeout=TIME,
        send_timeout=TIME,
        shutdown_grace=0.1,
        simulated_tokens_per_second=20,
    ) as running:
        running.start("api")
        yield running


@pytest.fixture(scope="module")
def key(hasty: Service) -> str:
    return hasty.new_key()


@pytest.fixture(scope="module")
def file_id(hasty: Service, key: str) -> str:
    return hasty.in_database(store, key)


def store(session: Session, key: str) -> str:
    caller = keys.find_caller(session, key)
    assert caller
    file_id = files.begin_file(session, caller.id, filename="in.jsonl", purpose="batch")
    for seq, start in enumerate(range(0, len(CONTENT), MIB)):
        files.append_part(session, caller.id, file_id, seq, CONTENT[start : start + MIB])
    return files.finish_file(session, caller.id, file_id).id


def longer_than_a_request(began: float) -> bool:
    return time.monotonic() - began > 2 * TIME


def test_a_download_goes_on_as_long_as_it_is_read(hasty: Service, key: str, file_id: str) -> None:
    began, content = time.monotonic(), b""
    with hasty.http(key) as http, http.stream("GET", f"/v1/files/{file_id}/content") as answer:
        for part in answer.iter_bytes(MIB):
            content += part
            time.sleep(0.2)  # the reader's pace
    assert longer_than_a_request(began)
    assert content == CONTENT


def test_a_models_stream_goes_on_as_long_as_the_model_does(hasty: Service, key: str) -> None:
    began = time.monotonic()
    body = chat_body("Say nothing but many words.", max_tokens=100, stream=True)
    with hasty.http(key) as http:
        answer = http.post("/v1/chat/completions", json=body)
    assert longer_than_a_request(began)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert '"error"' not in answer.text


def test_a_batch_is_watched_to_its_end(hasty: Service, key: str, hold_batch: HoldBatch) -> None:
    began, held = time.monotonic(), hold_batch(hasty, key, 1)
    with (
        hasty.http(key) as http,
        http.stream("GET", f"/v1/batches/{held.id}/events") as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        eventually(lambda: longer_than_a_request(began))
        held.record(0)
        held.close("completed")
        events = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
    assert events[-1]["status"] == "completed"


def reading(hasty: Service, key: str, url: str) -> socket.socket:
    """Return the connection of a download of which nothing has been read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", hasty.settings.port))
    head = f"GET {url} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}"
    connection.sendall(f"{head}\r\n\r\n".encode())
    return connection


@pytest.mark.parametrize("pace", [0, 1], ids=["nothing", "a byte now and then"])
def test_a_reader_who_takes_too_little_is_cut_off(
    hasty: Service, key: str, file_id: str, pace: int
) -> None:
    url = f"/v1/files/{file_id}/content?pace={pace}"

    def cut() -> bool:
        return f"too slowly: {url}" in hasty.programs[0].text()

    def read_slowly_then_all() -> None:
        eventually(lambda: cut() or (pace and not connection.recv(pace)))
        while connection.recv(MIB):
            pass

    with closing(reading(hasty, key, url)) as connection:
        with pytest.raises(ConnectionResetError):
            read_slowly_then_all()
        eventually(cut)


def test_a_download_that_the_end_of_the_process_cuts_is_not_whole(
    hasty: Service, key: str, file_id: str
) -> None:
    api = hasty.start("api", PORT=str(free_port()), SEND_TIMEOUT="60")
    with (
        httpx.Client(base_url=api.url, headers=hasty.http(key).headers) as http,
        http.stream("GET", f"/v1/files/{file_id}/content") as answer,
    ):
        pieces = answer.iter_bytes(MIB)
        next(pieces)
        api.process.send_signal(signal.SIGTERM)
        eventually(lambda: api.ended)
        with pytest.raises(httpx.TransportError):
            list(pieces)
