"""A model server that notes every call in a file, and only then answers it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from random import Random

from aiohttp import web

from tests.upstream import serving_in_thread

SLOW = 0.5
"""Seconds more that a call takes where the next fault is due: so that faults find work going on."""


class Fate(StrEnum):
    """What must become of an item, whatever happens to the processes."""

    GOOD = "good"
    FLAKY = "flaky"
    """Its first call fails, the next one succeeds."""
    REFUSED = "refused"
    HOPELESS = "hopeless"
    """Every call fails in a way that might pass."""


class Answer(StrEnum):
    """What the model says to a call."""

    GOOD = "good"
    FAILURE = "failure"
    """An error that may pass: 429, 500, 503 or an answer that breaks off.

    Where none began on a kept connection, the same call is made again on a new one."""
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the model: for which item, the how manieth for it, from which worker, when."""

    item: str
    number: int
    worker: str
    at: float
    answer: Answer

    @property
    def text(self) -> str:
        """What the answer says: of no other call is it the same."""
        return f"{self.item} call-{self.number}"


def fate(seed: int, item: str) -> Fate:
    """Return what the seed has in store for an item: for nine of ten, nothing special."""
    kinds = [Fate.GOOD, Fate.FLAKY, Fate.REFUSED, Fate.HOPELESS]
    return Random(f"{seed} {item}").choices(kinds, [90, 6, 2, 2])[0]


class Model:
    """Answers as the seed wants it."""

    def __init__(self, seed: int, effects: Path) -> None:
        self.slow_from: int | None = None
        self.calls = 0
        self.last_asker = ""
        self._seed = seed
        self._effects = effects.open("a", buffering=1)
        self._numbers: Counter[str] = Counter()
        self._random = Random(seed)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Note the call and answer it. The worker tells its name as its key."""
        if request.method == "GET":  # the list of models, which tells that the server is there
            return web.json_response({"object": "list", "data": []})
        item = (await request.json())["messages"][0]["content"]
        worker = request.headers["authorization"].removeprefix("Bearer ")
        self.calls += 1
        self.last_asker = worker
        self._numbers[item] += 1
        number = self._numbers[item]
        call = Call(item, number, worker, time.time(), self._answer(item, number))
        self._effects.write(json.dumps(asdict(call)) + "\n")
        await asyncio.sleep(self._latency())
        return await self._response(request, call)

    def close(self) -> None:
        """Close the file of calls."""
        self._effects.close()

    def _answer(self, item: str, number: int) -> Answer:
        match fate(self._seed, item):
            case Fate.REFUSED:
                return Answer.REFUSAL
            case Fate.HOPELESS:
                return Answer.FAILURE
            case Fate.FLAKY if number == 1:
                return Answer.FAILURE
        return Answer.GOOD

    def _latency(self) -> float:
        slow = self.slow_from is not None and self.calls > self.slow_from
        return self._random.uniform(0.01, 0.08) + (SLOW if slow else 0)

    async def _response(self, request: web.Request, call: Call) -> web.StreamResponse:
        if call.answer is Answer.GOOD:
            message = {"role": "assistant", "content": call.text}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            return web.json_response({"id": call.text, "choices": choices, "usage": usage})
        error = {"error": {"message": call.text}}
        if call.answer is Answer.REFUSAL:
            return web.json_response(error, status=400)
        if fate(self._seed, call.item) is Fate.HOPELESS:
            return web.json_response(error, status=500)
        status = self._random.choice([429, 503, 0])
        if status == 0:
            return await _broken_off(request)
        return web.json_response(error, status=status)


async def _broken_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    if request.transport:
        request.transport.abort()
    return response


def read_calls(effects: Path) -> Iterator[Call]:
    """Yield the calls of the file, in their order."""
    for line in effects.read_text().splitlines():
        values = json.loads(line)
        yield Call(**{**values, "answer": Answer(values["answer"])})


@contextmanager
def serving_model(model: Model) -> Iterator[str]:
    """Yield the address of the model."""
    with closing(model), serving_in_thread(model.answer) as url:
        yield url
