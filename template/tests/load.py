"""Callers who come as they like, however slow the server is, and hang up when their time is out."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from tests.lines import chat_body

CHAT = "/v1/chat/completions"


@dataclass
class Load:
    """What became of the calls: seconds of each good one, and how many there were by status."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int | str] = field(default_factory=Counter)

    @property
    def good(self) -> int:
        """How many were answered in time."""
        return len(self.seconds)


async def arrivals(
    url: str, key: str, *, rate: float, seconds: float, patience: float, seed: int = 0
) -> Load:
    """Ask for short chats, `rate` a second on average; each caller hangs up after `patience`."""
    load, chance = Load(), random.Random(seed)
    loop = asyncio.get_running_loop()
    async with ClientSession(
        connector=TCPConnector(limit=0),
        timeout=ClientTimeout(total=None),
        headers={"authorization": f"Bearer {key}"},
    ) as session:
        calls, at = [], loop.time()
        end = at + seconds
        while (at := at + chance.expovariate(rate)) < end:
            await asyncio.sleep(at - loop.time())
            calls.append(asyncio.create_task(_call(session, url, patience, load)))
        await asyncio.gather(*calls)
    return load


async def in_turn(url: str, key: str, *, callers: int, seconds: float) -> Load:
    """Let `callers` ask for short chats, each again when it has its answer, for `seconds`."""
    load, loop = Load(), asyncio.get_running_loop()
    headers = {"authorization": f"Bearer {key}"}
    end = loop.time() + seconds

    async def ask(session: ClientSession) -> None:
        while loop.time() < end:
            await _call(session, url, None, load)

    async with ClientSession(connector=TCPConnector(limit=0), headers=headers) as session:
        await asyncio.gather(*(ask(session) for _ in range(callers)))
    return load


async def _call(session: ClientSession, url: str, patience: float | None, load: Load) -> None:
    started = time.perf_counter()
    try:
        async with (
            asyncio.timeout(patience),
            session.post(url + CHAT, json=chat_body("Hello", max_tokens=1)) as answer,
        ):
            await answer.read()
            load.statuses[answer.status] += 1
            if answer.status == 200:
                load.seconds.append(time.perf_counter() - started)
    except TimeoutError:
        load.statuses["gave up"] += 1
    except ClientError as error:
        load.statuses[type(error).__name__] += 1
