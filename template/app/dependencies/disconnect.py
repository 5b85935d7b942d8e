"""Stops work for a client that has gone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from app.resources.tasks import end_tasks

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client hung up; nobody reads an answer any more."""


async def until_disconnect(request: Request, call: Coroutine[Any, Any, T]) -> T:
    """Return the result of `call`, or cancel it and raise `ClientGoneError` when the client goes.

    A plain handler is never cancelled: it would pay for an answer that nobody reads. To be used
    once the body has been read.
    """
    work = asyncio.ensure_future(call)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientGoneError
        return work.result()
    finally:
        await end_tasks(work, gone)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
