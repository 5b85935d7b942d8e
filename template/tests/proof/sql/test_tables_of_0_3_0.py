"""`app migrate` brings tables of 0.3.0 to today's, and work that was in flight is finished."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine.sql.revisions import FOLDERS, read_revisions
from engine.sql.tables import BatchLaneRow, ItemRow
from tests.batches import lines_of
from tests.proof.sql.before_1_0 import KEY, count_rows, insert_work, make_tables_of_0_3_0
from tests.receiver import Receiver
from tests.service import LIMIT, Program, Service, eventually, service

HEADS = ", ".join(sorted(read_revisions(FOLDERS[1:]).heads))
OLDER = ["UPDATE alembic_version SET version_num = '0007'"]
OWN = [
    "UPDATE alembic_version SET version_num = '9001'",
    "ALTER TABLE callers DROP COLUMN virtual_time",
]


@pytest.fixture(params=["sqlite", "postgresql"])
def old(
    request: pytest.FixtureRequest, redis_url: str, tmp_path: Path, receiver: Receiver
) -> Iterator[Service]:
    """A service on the tables of 0.3.0; no process runs yet."""
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgres else None
    with service(
        tmp_path,
        redis_url,
        url,
        lease_seconds=4,
        sweep_seconds=0.2,
        webhook_private_addresses=True,
    ) as running:
        make_tables_of_0_3_0(running.settings.sql_url)
        running.in_database(insert_work, receiver.url)
        yield running


def migrated(old: Service, *arguments: str) -> tuple[int, str]:
    """Return how `app migrate` ends, and what it says."""
    program = Program(" ".join(("migrate", *arguments)), old.environment, old.folder / "again.log")
    return program.process.wait(LIMIT), program.text()


def execute(session: Session, *statements: str) -> None:
    for each in statements:
        session.execute(text(each))


def read_lanes(session: Session) -> list[tuple[str, int, int, bool, bool]]:
    rows = session.scalars(select(BatchLaneRow).order_by(BatchLaneRow.batch_id, BatchLaneRow.lane))
    return [
        (row.batch_id, row.lane, row.generation, row.ready, row.ready_at is not None)
        for row in rows
    ]


def attempts(session: Session) -> list[int]:
    return list(session.scalars(select(ItemRow.attempt).order_by(ItemRow.seq)))


def test_work_in_flight_is_finished_after_the_migration(old: Service, receiver: Receiver) -> None:
    before = old.in_database(count_rows)
    assert migrated(old) == (0, f"Database: from 0008 to app_0001, {HEADS}.\n")
    assert old.in_database(count_rows).items() >= before.items()
    old.start("api", "worker")
    with old.client(KEY) as client, old.http(KEY) as http:
        eventually(lambda: client.batches.retrieve("batch_1").status == "completed")
        batch = client.batches.retrieve("batch_1")
        answers = [line["custom_id"] for line in lines_of(client, batch.output_file_id)]
        eventually(lambda: http.get("/v1/jobs/job_1").json()["status"] == "succeeded")
    assert sorted(answers) == [f"item-{seq}" for seq in range(4)]
    assert old.in_database(attempts)[:2] == [1, 1], "items that have ended do not run again"
    eventually(lambda: len(receiver.requests) == 2)


def test_lanes_of_open_batches_alone_are_ready(old: Service) -> None:
    migrated(old)
    assert old.in_database(read_lanes) == [
        ("batch_1", -1, 1, False, False),
        ("batch_1", 0, 1, True, True),
        ("batch_1", 1, 1, True, True),
        ("batch_2", -1, 1, False, False),
        ("batch_2", 0, 1, False, False),
        ("batch_2", 1, 1, False, False),
    ]


@pytest.mark.parametrize("change", [OLDER, OWN], ids=["older", "a revision of the team's"])
def test_tables_that_this_code_cannot_bring_along_stay_as_they_are(
    old: Service, change: list[str]
) -> None:
    old.in_database(execute, *change)
    before = old.in_database(count_rows)
    code, said = migrated(old)
    assert code == 1
    assert "older than 0.3.0 need `app migrate` of 0.4.0 first" in said
    assert "Traceback" not in said
    assert old.in_database(count_rows) == before
