"""A database of release 0.3.0, with work in flight when its processes ended."""

import asyncio
import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import asyncpg
from sqlalchemy import inspect, make_url, text
from sqlalchemy.orm import Session

from engine.sql.tables import Base
from tests.lines import CHAT_URL, chat_body

SCRIPT = (Path(__file__).parent / "tables_of_0_3_0.sql").read_text()
POSTGRES = {
    " DOUBLE": " DOUBLE PRECISION",
    " BLOB": " BYTEA",
    "batch_items (\n    id INTEGER": "batch_items (\n    id BIGSERIAL",
}
SECRET = "a" * 43
KEY = f"sk-{'0' * 16}-{SECRET}"
BODY = json.dumps(chat_body("Hello")).encode()
DEAD = "worker_dead"


def make_tables_of_0_3_0(url: str) -> None:
    """Make the tables of 0.3.0 in place of all that is in the database."""
    if url.startswith("postgresql"):
        asyncio.run(_in_postgres(url))
        return
    file = Path(make_url(url).database or "")
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(f"PRAGMA journal_mode=WAL; {SCRIPT}")


async def _in_postgres(url: str) -> None:
    script = SCRIPT
    for old, new in POSTGRES.items():
        script = script.replace(old, new)
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.execute(script)
    await connection.close()


def insert_work(session: Session, receiver: str = "https://receiver.example/") -> None:
    """Insert a batch half done, one that has ended, a job that ran, and a message that waits."""
    then = time.time() - 1000
    caller = {"caller_id": "caller_1"}
    _insert(session, "callers", id="caller_1", name="ada", flags="[]", created_at=then)
    session.execute(text("UPDATE callers SET virtual_time = 3.5"))
    hashed = hashlib.sha256(SECRET.encode()).digest()
    _insert(session, "api_keys", id="0" * 16, hash=hashed, created_at=then, **caller)
    _insert(session, "idempotency_keys", key="k", fingerprint=b"f", created_at=then, **caller)
    tokens = {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3}
    _insert(session, "usage", day="2026-01-01", model="m", **tokens, **caller)
    file = {"filename": "in.jsonl", "purpose": "batch", "bytes": 2, "created_at": then}
    _insert(session, "files", id="file_1", complete=True, **file, **caller)
    _insert(session, "file_chunks", file_id="file_1", seq=0, data=b"{}")
    _insert(session, "leases", id=DEAD, expires_at=then)
    _insert_batches(session, then)
    job = {"name": "retention", "subject": "{}", "status": "running", "request_id": "req_1"}
    ends = {"deadline_at": then + 86_400, "created_at": then, "started_at": then}
    counts = {"attempt": 1, "errors": 0, "crashes": 0, "not_before": 0, "scheduled": False}
    _insert(session, "jobs", id="job_1", owner=DEAD, **job, **ends, **counts, **caller)
    webhook = {"url": receiver, "events": '["batch.completed"]', "secret": "whsec_" + "A" * 44}
    times = {"created_at": then, "updated_at": then}
    _insert(session, "webhooks", id="webhook_1", name="ours", **webhook, **times, **caller)
    event = {"event": "batch.completed", "subject_id": "batch_2", "payload": b"{}"}
    waits = {"status": "pending", "attempt": 1, "next_at": then, "last_error": "It was away."}
    ours = {"webhook_id": "webhook_1", "created_at": then}
    _insert(session, "webhook_deliveries", id="evt_1", **ours, **event, **waits)


def _insert_batches(session: Session, then: float) -> None:
    for batch_id, status, completed in (("batch_1", "in_progress", 2), ("batch_2", "completed", 4)):
        counts = {"total": 4, "completed": completed, "failed": 0}
        about = {"endpoint": CHAT_URL, "input_file_id": "file_1", "completion_window": "24h"}
        ends = {"created_at": then, "in_progress_at": then, "expires_at": then + 86_400}
        own = {"caller_id": "caller_1", "request_id": "req_1"}
        _insert(session, "batches", id=batch_id, status=status, **about, **counts, **ends, **own)
        for lane in (0, 1, -1):
            held = then if lane == 0 and batch_id == "batch_1" else 0
            _insert(
                session, "deliveries", batch_id=batch_id, lane=lane, generation=1, heartbeat_at=held
            )
    for seq, status in enumerate(("succeeded", "succeeded", "running", "pending")):
        done = {"response": b'{"n": 1}', "finished_at": then, "place": seq + 1}
        state = done if status == "succeeded" else {"owner": DEAD if status == "running" else None}
        counts = {"attempt": int(status != "pending"), "errors": 0, "crashes": 0, "not_before": 0}
        row = {"custom_id": f"item-{seq}", "body": BODY, "alone": False, "status": status}
        _insert(session, "batch_items", batch_id="batch_1", seq=seq, **row, **counts, **state)


def _insert(session: Session, table: str, **values: object) -> None:
    if table == "callers":
        values |= {"weight": 2, "priority": 1, "virtual_time": 0}
    names = ", ".join(values)
    slots = ", ".join(f":{name}" for name in values)
    session.execute(text(f"INSERT INTO {table} ({names}) VALUES ({slots})"), values)


def count_rows(session: Session) -> Mapping[str, int]:
    """Return how many rows each table has, in the new names of the tables."""
    found = inspect(session.connection()).get_table_names()
    names = {each: each for each in Base.metadata.tables if each in found}
    if "deliveries" in found:
        names["batch_lanes"] = "deliveries"
    counted = {
        new: session.scalar(text(f"SELECT count(*) FROM {old}")) for new, old in names.items()
    }
    return {name: count or 0 for name, count in counted.items()}
