"""A look for work reads as many pages with many rows that wait or have ended as with few.

On PostgreSQL the pages are counted of the plans that are really run, which `auto_explain` sends;
each step is run often enough for a plan to be made for any values. On SQLite the plans are asked.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.batches import items, lanes, readiness
from engine.batches.lanes import LaneHold, Terms
from engine.jobs import runs
from engine.sql.database import Database, open_database
from engine.sql.statements import new_id
from engine.sql.tables import Base
from engine.views import backlog
from engine.webhooks import deliveries
from engine.worker import reaper
from tests.crowd import fill
from tests.proof.machines.plans import sqlite_plans
from tests.proof.machines.store import Store
from tests.tables import make_tables, new_database

pytestmark = pytest.mark.anyio

LEASE = 60.0
TERMS = Terms(LEASE, lanes_per_batch=2, lanes_per_caller=8, held={})
TIMES = 7
"""After five executions PostgreSQL may choose a plan for any values."""

Sizes = dict[str, Any]

FEW: Sizes = {"callers": 20, "batches": 200, "each": 64, "jobs": 1_000, "messages": 1_000}
"""As few as may be read by an index: of fewer PostgreSQL reads the only page without one."""

ENDED = FEW | {"status": "succeeded"}
"""When PostgreSQL gathers statistics at this moment, it believes that no item waits."""

DEEPER = 12
"""Pages that an index of more levels may cost a step."""

LARGE = {"batch_items", "batch_lanes", "jobs", "webhook_deliveries"}
EXPLAIN = (
    "LOAD 'auto_explain'",
    *(
        f"SET auto_explain.log_{name} = {value}"
        for name, value in {
            "min_duration": 0,
            "analyze": "on",
            "buffers": "on",
            "timing": "off",
            "format": "json",
            "level": "notice",
        }.items()
    ),
)
Step = Callable[[Session, LaneHold], object]


def claim_a_job(session: Session, _hold: LaneHold) -> object:
    return runs.claim_job(session, new_id("lease"), LEASE, ["count"], scheduled=False)


def sweep(session: Session, _hold: LaneHold) -> None:
    reaper.recover_work(session, lease_seconds=LEASE, most_crashes=3)


STEPS: dict[str, Step] = {
    "claim": lambda session, _hold: lanes.claim_lane(session, new_id("lease"), TERMS),
    "contended": lambda session, hold: lanes.is_contended(session, hold, TERMS, 0),
    "is_waiting": lambda session, _hold: lanes.is_waiting(session, "caller_1"),
    "renew": lambda session, hold: lanes.renew_lane(session, hold, LEASE),
    "release": lambda session, hold: lanes.release_lane(session, hold, LEASE, at_once=True),
    "has_open_items": lambda session, hold: readiness.has_open_items(session, hold.batch_id),
    "claim items": lambda session, hold: items.claim_items(session, hold, 8),
    "depths": lambda session, _hold: backlog.depths(session, LEASE),
    "backlog": lambda session, _hold: backlog.backlog(session, LEASE),
    "sweep": sweep,
    "claim a job": claim_a_job,
    "claim a message": lambda session, _hold: deliveries.claim_deliveries(
        session, seconds=LEASE, most_in_flight=100
    ),
}


class Plans:
    """The plans that PostgreSQL has run, as it tells of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told: list[str] = []

    async def begin(self) -> None:
        """Let it tell of each plan from now on."""

        def listen(session: Session) -> None:
            for statement in EXPLAIN:
                session.execute(text(statement))
            driver: Any = session.connection().connection.driver_connection
            driver.add_log_listener(lambda _connection, said: self._told.append(said.message))

        await self._database.write(listen)

    async def pages(self, step: Step, hold: LaneHold) -> int:
        """Return how many pages the step reads; no plan of it may scan a table that is large."""
        for _ in range(TIMES):
            self._told.clear()
            await self._database.write(step, hold)
        await asyncio.sleep(0)  # asyncpg tells of them in the loop's next round
        plans = [json.loads(said[said.index("{") :])["Plan"] for said in self._told]
        assert plans
        for node in [node for plan in plans for node in nodes(plan)]:
            scans = node["Node Type"] == "Seq Scan" and node["Relation Name"] == "batch_items"
            assert not scans, node
        return sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's nodes."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def measured(url: str, sizes: Sizes, *moments: Sizes | None) -> dict[str, int]:
    """Return the pages of each step on tables that are filled so.

    Before that PostgreSQL gathers statistics of each of these moments, in which the tables look
    otherwise; None is after they are filled.
    """
    settings = Settings(_env_file=None, database_url=url, database_connections=1)
    for moment in [*(each for each in moments if each), sizes]:
        async with open_database(settings) as database:
            await database.write(truncate)
            await database.write(fill, **moment)
            if moment is not sizes or None in moments:
                await database.write(lambda session: session.execute(text("ANALYZE")))
    async with open_database(settings) as database:
        hold = await database.write(lanes.claim_lane, "lease_a", TERMS)
        assert hold
        await database.write(put_behind, hold)
        plans = Plans(database)
        await plans.begin()
        return {name: await plans.pages(step, hold) for name, step in STEPS.items()}


def put_behind(session: Session, hold: LaneHold) -> None:
    """Let all others come before the caller of this lane."""
    mine = "SELECT caller_id FROM batch_lanes WHERE batch_id = :batch_id"
    behind = f"UPDATE callers SET virtual_time = 1000 WHERE id IN ({mine})"
    session.execute(text(behind), {"batch_id": hold.batch_id})


def truncate(session: Session) -> None:
    """Delete all rows, and leave no dead ones. Statistics are gathered when a test says so."""
    for table in Base.metadata.tables:
        session.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))
    session.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)}"))


def grown(small: dict[str, int], large: dict[str, int], ratio: float, *but: str) -> dict[str, Any]:
    """Return the pages of those steps that read more than so many times as many."""
    return {
        name: (small[name], large[name])
        for name in STEPS.keys() - but
        if large[name] > ratio * small[name] + DEEPER
    }


@pytest.fixture(scope="module")
def url(postgres_url: str) -> str:
    """A database of which no other test has left statistics."""
    url = asyncio.run(new_database(postgres_url))
    asyncio.run(make_tables(Settings(_env_file=None, database_url=url)))
    return url


@pytest.mark.parametrize("moments", [(), (None,), (ENDED,)], ids=["never", "waiting", "ended"])
async def test_items_add_nothing_to_a_look_for_work(
    url: str, moments: Sequence[Sizes | None]
) -> None:
    few = await measured(url, FEW, *moments)
    many = await measured(url, FEW | {"each": 1_000}, *moments)
    assert not grown(few, many, 1.2)


async def test_batches_add_little_to_a_look_for_work(url: str) -> None:
    some = await measured(url, FEW | {"batches": 200, "each": 10})
    many = await measured(url, FEW | {"batches": 2_000, "each": 10})
    assert not grown(some, many, 1.5, "depths", "backlog", "sweep")


async def test_waiting_and_ended_rows_add_nothing_to_the_claim_of_a_job_or_a_message(
    url: str,
) -> None:
    few = await measured(url, FEW)
    many = await measured(url, FEW | {"jobs": 20_000, "messages": 20_000})
    assert not grown(few, many, 1.2, "depths", "backlog")


@pytest.mark.parametrize("name", STEPS)
def test_sqlite_scans_no_table_that_is_large(name: str) -> None:
    store = Store()
    store.write(fill, **FEW)
    hold = store.write(lanes.claim_lane, "lease_a", TERMS)
    assert hold
    with sqlite_plans() as plans:
        store.write(STEPS[name], hold)
    assert plans
    assert not [plan for plan in plans if plan in {f"SCAN {table}" for table in LARGE}]
