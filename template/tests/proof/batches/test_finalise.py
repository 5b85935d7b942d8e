"""A batch ends once, and its caller is told of that end and no other."""

import time

import pytest
from sqlalchemy.orm import Session

from engine.batches import finalise
from engine.sql.database import Database
from engine.sql.tables import BatchRow
from tests.owing import add_caller, owed, register

pytestmark = pytest.mark.anyio

TIMES = {"completed": {}, "expired": {"expired_at": 1.0}, "cancelled": {"cancelling_at": 1.0}}


def add_batch(session: Session, times: dict[str, float]) -> None:
    """Make a batch that waits for its end, and a webhook for each end."""
    caller = add_caller(session)
    for status in TIMES:
        register(session, caller, event_types=(f"batch.{status}",))  # type: ignore[arg-type]
    batch = BatchRow(
        id="batch_1",
        caller_id=caller,
        endpoint="/v1/chat/completions",
        input_file_id="file_1",
        completion_window="24h",
        request_id="req_1",
        status="finalizing",
        created_at=time.time(),
        expires_at=time.time(),
        **times,
    )
    session.add(batch)


@pytest.mark.parametrize("status", TIMES)
async def test_the_end_is_announced_once(database: Database, status: str) -> None:
    await database.write(add_batch, TIMES[status])
    for _ in range(2):
        await database.write(finalise.finish_batch, "batch_1", 0, 0)
    (row,) = await database.read(owed)
    assert (row.event, row.subject_id) == (f"batch.{status}", "batch_1")
