"""Reading a body ends at its limit, whatever its headers say."""

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from app.middleware.body_limit import BodyLimit

pytestmark = pytest.mark.anyio

LIMIT = 10
CHUNKED = (b"transfer-encoding", b"chunked")


async def read_all(_scope: Scope, receive: Receive, _send: Send) -> None:
    while (await receive())["more_body"]:
        pass


async def read(*headers: tuple[bytes, bytes], pieces: int) -> int:
    """Send as many pieces of 4 bytes; return how many were read."""
    left = pieces

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"1234", "more_body": left > 0}

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is answered here")

    scope = {"type": "http", "path": "/", "headers": list(headers)}
    await BodyLimit(read_all, LIMIT, {})(scope, receive, send)
    return pieces - left


@pytest.mark.parametrize("header", [(b"content-length", b"8"), CHUNKED])
async def test_a_body_within_the_limit_is_read(header: tuple[bytes, bytes]) -> None:
    assert await read(header, pieces=2) == 2


async def test_a_length_above_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(HTTPException) as refused:
        await read((b"content-length", b"12"), pieces=0)
    assert refused.value.status_code == 413


@pytest.mark.parametrize("length", [(), ((b"content-length", b"8"),)], ids=["alone", "beside 8"])
async def test_chunks_are_counted(length: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(HTTPException) as refused:
        await read(CHUNKED, *length, pieces=3)
    assert refused.value.status_code == 413
