"""An outcome that SQL refuses ends its own item or job: the model is not asked for it again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from engine.batches.group_commit import GroupCommit
from engine.batches.items import ItemOutcome
from engine.batches.lanes import LaneHold
from engine.models.interface import Usage
from engine.sql.database import Database
from engine.sql.tables import BatchRow, CallerRow, ItemRow
from engine.work import leases
from tests.service import Service, eventually, service

pytestmark = pytest.mark.anyio

HOLD = LaneHold("batch_a", 0, 1, "lease_a")
CALLER = "caller_a"
USED = Usage(2, 3)

REFUSED: dict[str, dict[str, Any]] = {
    "a count beyond 63 bits": {"usage": Usage(2**63, 3)},
    "half of a character": {"error_message": "\ud83d"},
    "a model that is no name": {"model": "\udc00"},
    "an answer that is none": {"response": object()},
}
"""What both databases refuse."""

REFUSED_BY_POSTGRES: dict[str, dict[str, Any]] = {
    "NUL": {"error_message": "\0"},
    "a long code": {"error_code": "c" * 101},
    "a long model": {"model": "m" * 201},
}


def insert(session: Session) -> None:
    leases.grant_lease(session, HOLD.owner, 3600)
    session.add(CallerRow(id=CALLER, name="a", requests_per_minute=None, flags=[], created_at=0.0))
    session.flush()
    times = {"created_at": 0.0, "expires_at": 2.0**33}
    session.add(
        BatchRow(
            id=HOLD.batch_id,
            caller_id=CALLER,
            endpoint="/v1/chat/completions",
            input_file_id="file_a",
            completion_window="24h",
            request_id="req_a",
            status="in_progress",
            **times,
        )
    )
    session.flush()
    for number in range(3):
        item = {"id": number + 1, "seq": number, "custom_id": str(number), "body": b"{}"}
        session.add(
            ItemRow(**item, batch_id=HOLD.batch_id, status="running", attempt=1, owner=HOLD.owner)
        )


def ends(session: Session) -> list[tuple[str, str | None]]:
    rows = session.execute(select(ItemRow.status, ItemRow.error_code).order_by(ItemRow.id))
    return [(row.status, row.error_code) for row in rows]


def outcome(number: int, **odd: Any) -> ItemOutcome:  # noqa: ANN401 -- what SQL refuses
    good: dict[str, Any] = {"response": b"{}", "usage": USED, "model": "m"}
    return ItemOutcome(number, 1, "succeeded", **{**good, **odd})


async def record(database: Database, *outcomes: ItemOutcome) -> None:
    async with GroupCommit(database, HOLD, CALLER) as commits, asyncio.TaskGroup() as group:
        for each in outcomes:
            group.create_task(commits.record(each))


async def check_refusal(database: Database, odd: dict[str, Any]) -> None:
    await database.write(insert)
    await record(database, outcome(1), outcome(2, **odd), outcome(3))
    good = ("succeeded", None)
    assert await database.read(ends) == [good, ("failed", "unrecordable"), good]
    batch = await database.read(lambda session: session.get_one(BatchRow, HOLD.batch_id))
    assert (batch.completed, batch.failed) == (2, 1)


@pytest.mark.parametrize("name", REFUSED)
async def test_an_outcome_that_is_refused_ends_its_own_item(database: Database, name: str) -> None:
    await check_refusal(database, REFUSED[name])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("name", REFUSED_BY_POSTGRES)
async def test_so_does_one_that_only_postgresql_refuses(database: Database, name: str) -> None:
    await check_refusal(database, REFUSED_BY_POSTGRES[name])


class Away:
    """A database that cannot be reached."""

    async def write(self, *_args: object) -> None:
        raise OperationalError("INSERT", {}, ConnectionError())


async def test_while_the_database_is_away_no_item_ends() -> None:
    away: Any = Away()
    async with GroupCommit(away, HOLD, CALLER) as commits:
        with pytest.raises(OperationalError):
            await commits.record(outcome(1))


JOB = """
import math
from pydantic import BaseModel
from engine.jobs.jobs import Job
from engine.jobs.runs import Run

class Subject(BaseModel):
    result: str = "good"
    number: float = 0.0
    more: dict = {}

class Result(BaseModel):
    said: object = None
    number: float = 0.0

RESULTS = {
    "NaN": Result(number=math.nan),
    "infinity": Result(number=math.inf),
    "half": Result(said="\\ud83d"),
    "object": Result(said=object()),
}

async def work(run: Run, subject: Subject) -> Result:
    return RESULTS[subject.result]

JOB = Job("odd", Subject, work, attempts=1)
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def running(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgres else None
    folder = tmp_path_factory.mktemp("odd")
    modules = tmp_path_factory.mktemp("modules")
    Path(modules / "odd.py").write_text(JOB)
    with service(folder, redis_url, url, modules=modules, sweep_seconds=0.2) as ready:
        ready.start("api", "worker")
        yield ready


@pytest.fixture
def http(running: Service) -> Iterator[httpx.Client]:
    with running.http(running.new_key()) as opened:
        yield opened


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ("NaN", "unrecordable"),
        ("infinity", "unrecordable"),
        ("half", "unrecordable"),
        ("object", "internal_error"),
    ],
)
def test_a_result_that_cannot_be_kept_ends_its_job(
    http: httpx.Client, result: str, code: str
) -> None:
    job = http.post("/v1/jobs", json={"name": "odd", "subject": {"result": result}}).json()
    address = f"/v1/jobs/{job['id']}"
    eventually(lambda: http.get(address).json()["status"] in ("failed", "succeeded"))
    ended = http.get(address).json()
    assert (ended["status"], ended["attempt"], ended["error"]["code"]) == ("failed", 1, code)


@pytest.mark.parametrize(
    "subject", ['{"number": NaN}', '{"number": -Infinity}', '{"more": {"x": NaN}}']
)
def test_a_subject_that_is_no_json_is_refused(http: httpx.Client, subject: str) -> None:
    body = '{"name": "odd", "subject": %s}' % subject  # noqa: UP031 -- braces
    answer = http.post("/v1/jobs", content=body)
    assert answer.status_code == 400
    assert "error" in answer.json()
