"""Data that one caller leaves for the next is found, in apps and on connections."""

import asyncio
import selectors
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import Phase, given, settings

from tests.api.serving import serving
from tests.contamination import Visit, pipelined, strangers, visits
from tests.proof.twins import contamination, context

NAMES = ["anna", "bert", "carl", "dora"]
BROKEN = ["global", "state", "singleton", "default", "cache", "lifespan_dict"]
GOOD = ["argument", "context", "cache"]


class Selector(selectors.DefaultSelector):
    """Waits for nothing: adds up the seconds that it was told to wait."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now."""
        self.waited += timeout or 0
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its clock stands still while code runs, so that a plan has one outcome on every machine.

    By the real clock, who comes 2 ms later meets what takes 2 ms or not, as it happens: Hypothesis
    then reports a test that it cannot repeat.
    """

    def __init__(self) -> None:
        self._waits = Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        """Return the seconds that were waited."""
        return self._waits.waited


def check(make: Callable[[], FastAPI]) -> None:
    """Raise `AssertionError` where an answer holds another caller's name."""

    @settings(deadline=None, max_examples=200, database=None, phases=[Phase.generate])
    @given(plan=visits(routes=1))
    def overlapping(plan: list[Visit]) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            assert runner.run(contaminated(make(), plan)) == []

    overlapping()


async def contaminated(app: FastAPI, plan: list[Visit]) -> list[tuple[Visit, str]]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://twin") as client:

        async def ask(visit: Visit) -> str:
            return (await client.get("/who", headers={"x-name": NAMES[visit.caller]})).text

        return await strangers([[name] for name in NAMES], plan, ask)


@pytest.mark.parametrize("name", BROKEN)
def test_another_callers_name_is_found(name: str) -> None:
    with pytest.raises(AssertionError):
        check(getattr(contamination, f"broken_{name}"))


@pytest.mark.parametrize("name", GOOD)
def test_good_twins_tell_nobody_of_another(name: str) -> None:
    check(getattr(contamination, f"good_{name}"))


async def names_on_one_connection(app: FastAPI, *, reset_contextvars: bool) -> str:
    """Return what the app says to one with a name, and to the next without on its connection."""
    async with serving(app, reset_contextvars=reset_contextvars) as client:
        anna = {"x-name": "anna"}
        return await pipelined(client.base_url, ("/who", anna), ("/who", {}), ("/who", {}))


@pytest.mark.anyio
async def test_a_name_that_stays_on_its_connection_is_found() -> None:
    said = await names_on_one_connection(context.broken_trusting(), reset_contextvars=False)
    assert said.count("anna") > 1


@pytest.mark.parametrize(
    ("make", "reset"), [(context.broken_trusting, True), (context.good_anew, False)]
)
@pytest.mark.anyio
async def test_good_twins_leave_no_name_on_a_connection(
    make: Callable[[], FastAPI], reset: bool
) -> None:
    said = await names_on_one_connection(make(), reset_contextvars=reset)
    assert (said.count("anna"), said.count("nobody")) == (1, 2)
