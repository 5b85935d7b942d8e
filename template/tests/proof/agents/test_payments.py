"""Payments at a server that answers twice, late or not at all: each key is charged once."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from random import Random

import httpx
import pytest
from aiohttp import web

from tests.proof.agents.errands import begin, calls, ended, said, steps_of
from tests.service import Service, eventually
from tests.upstream import serving_in_thread

ORDERS = 12


class Bank:
    """Charges a key once, however often it is asked, and answers as the seed wants it."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.charged: dict[str, int] = {}
        self.silent = False
        self.url = ""
        self._random = Random(5)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Charge the order, and tell of it perhaps."""
        key = request.headers["Idempotency-Key"]
        order = (await request.json())["order"]
        self.asked[key] += 1
        self.charged.setdefault(key, order)
        manner = "silent" if self.silent else self._random.choice(["good", "late", "cut", "twice"])
        if manner == "late":
            await asyncio.sleep(0.6)
        if manner == "silent":
            await asyncio.sleep(60)
        if manner == "cut" and request.transport:
            request.transport.abort()
        if manner == "twice" and request.transport:
            head = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ncharged"
            request.transport.write(head)  # the answer follows a second time
        return web.Response(text="charged")


@pytest.fixture
def bank() -> Iterator[Bank]:
    bank = Bank()
    with serving_in_thread(bank.answer) as bank.url:
        yield bank


@pytest.fixture
def paying(idle: Service, bank: Bank) -> Iterator[Service]:
    """A service whose workers have this bank."""
    idle.start("worker", PAYMENT_URL=bank.url)
    yield idle
    for program in idle.programs[1:]:
        program.stop()


def test_each_key_is_charged_once(paying: Service, bank: Bank, http: httpx.Client) -> None:
    (first,) = paying.workers()
    turns = [[("charge", {"order": n + i}) for i in range(4)] for n in range(0, ORDERS, 4)]
    response_id = begin(http, *turns, "Done.", model="payments")
    eventually(lambda: len(bank.asked) > 5)
    first.stop(signal.SIGKILL)
    paying.start("worker", PAYMENT_URL=bank.url)
    response = ended(http, response_id)
    assert said(response) == "Done."
    assert {each["output"] for each in calls(response)} == {"charged"}
    assert sorted(bank.charged.values()) == list(range(ORDERS))
    assert set(bank.charged) == {each["id"] for each in calls(response)}
    assert bank.asked.total() > ORDERS


def test_a_payment_without_an_answer_is_not_asked_for_again(
    paying: Service, bank: Bank, http: httpx.Client
) -> None:
    bank.silent = True
    response_id = begin(http, [("give", {"order": 1})], "?", model="payments")
    response = ended(http, response_id)
    assert "It is not known whether this was done" in said(response)
    assert [name for name, _, _ in paying.in_database(steps_of, response_id)].count("give") == 1
    assert bank.asked.total() == 1
