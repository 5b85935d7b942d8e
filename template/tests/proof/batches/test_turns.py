"""For a lane that waits, a worker gives one of its own back, and no more."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.settings import Settings
from engine.batches.lane_worker import HeldLanes, LaneRun, Turn
from engine.batches.lanes import LaneHold, Terms
from engine.resources import Resources
from engine.work.leases import LOST

pytestmark = pytest.mark.anyio

HOLDS = [LaneHold("batch_a", lane, 1, f"lease_{lane}") for lane in range(3)]


class OneWaits:
    """A database in which one lane waits."""

    asked = 0

    async def read(self, _fn: object, _hold: LaneHold, _terms: Terms, leaving: int) -> bool:
        self.asked += 1
        await asyncio.sleep(0)
        return leaving < 1


@pytest.fixture
def database() -> OneWaits:
    return OneWaits()


@pytest.fixture
async def holdings(database: OneWaits) -> HeldLanes:
    resources: Any = SimpleNamespace(settings=Settings(_env_file=None), database=database)
    made = HeldLanes(cast("Resources", resources))
    for hold in HOLDS:
        made.take(hold)
    return made


async def test_of_several_that_ask_at_once_one_leaves(holdings: HeldLanes) -> None:
    assert sum(await asyncio.gather(*map(holdings.must_leave, HOLDS))) == 1


async def test_a_lane_that_has_left_counts_no_more(holdings: HeldLanes) -> None:
    assert await holdings.must_leave(HOLDS[0])
    holdings.drop(HOLDS[0])
    assert holdings.terms.held == {"batch_a": 2}
    assert await holdings.must_leave(HOLDS[1])


async def test_a_turn_that_is_over_stays_so_and_asks_once(
    holdings: HeldLanes, database: OneWaits
) -> None:
    turn = Turn(holdings, HOLDS[0], 0.0)
    assert [await turn.is_over() for _ in range(3)] == [True] * 3
    assert database.asked == 1


async def test_a_turn_asks_nobody_before_its_time(holdings: HeldLanes, database: OneWaits) -> None:
    assert not await Turn(holdings, HOLDS[0], 60.0).is_over()
    assert database.asked == 0


async def test_a_lost_lease_tells_when_it_was_renewed(caplog: pytest.LogCaptureFixture) -> None:
    """An error is no renewal: the last one was when the lane was claimed, 7 s ago or more."""
    caplog.set_level(logging.WARNING)  # an app that ran in this process has left its own
    answers = iter([OSError("broken on purpose"), None])

    async def renew(*_args: object) -> str | None:
        answer = next(answers)
        if answer:
            raise answer
        return None

    settings = SimpleNamespace(lease_seconds=0.03)
    resources: Any = SimpleNamespace(settings=settings, database=SimpleNamespace(write=renew))
    work: Any = SimpleNamespace(status="in_progress")
    asked_at = asyncio.get_running_loop().time() - 7
    nothing: Any = None
    drain = LaneRun(resources, asyncio.Event(), HOLDS[0], nothing, work, 0.0, asked_at)
    await drain._keep_alive()
    (said,) = [each.getMessage() for each in caplog.records if each.msg == LOST]
    assert float(said.split()[-3]) >= 7
