"""Overlapping callers, whose names must come back to nobody but themselves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import httpx
from hypothesis import strategies as st


class Visit(NamedTuple):
    """One call of one caller: when it begins, in milliseconds, and what it asks."""

    caller: int
    start: int
    route: int


def visits(routes: int, callers: int = 4, most: int = 6) -> st.SearchStrategy[list[Visit]]:
    """Generate calls of several callers that overlap."""
    each = st.builds(
        Visit,
        caller=st.integers(0, callers - 1),
        start=st.integers(0, 4),
        route=st.integers(0, routes - 1),
    )
    return st.lists(each, min_size=2, max_size=most)


async def strangers(
    names: Sequence[Sequence[str]],
    visits: Sequence[Visit],
    ask: Callable[[Visit], Awaitable[str]],
) -> list[tuple[Visit, str]]:
    """Make the visits; return each with a name in its answer that is another caller's.

    `names` are those of each caller.
    """

    async def visit(one: Visit) -> str:
        await asyncio.sleep(one.start / 1000)
        return await ask(one)

    answers = await asyncio.gather(*map(visit, visits))
    return [
        (one, name)
        for one, answer in zip(visits, answers, strict=True)
        for caller, known in enumerate(names)
        for name in known
        if name in answer and caller != one.caller
    ]


async def pipelined(url: httpx.URL, *requests: tuple[str, Mapping[str, str]]) -> str:
    """Send all requests on one connection before the first answer; return all answers as text.

    So the server reads the second while it serves the first, in whose context it then begins
    (python/cpython#140947).
    """
    reader, writer = await asyncio.open_connection(url.host, url.port)
    last = {"connection": "close"}
    for number, (path, headers) in enumerate(requests, 1):
        own = {"host": url.host, **headers, **(last if number == len(requests) else {})}
        lines = [f"GET {path} HTTP/1.1", *(f"{key}: {value}" for key, value in own.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()
