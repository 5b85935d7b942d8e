"""Much that waits, made by the database itself: batches, jobs and messages by the thousand."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

NUMBERS = {
    "postgresql": "SELECT n FROM generate_series(1, {}) AS n",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {}) "
    "SELECT n FROM s",
}
CALLERS = """
INSERT INTO callers (id, name, flags, created_at, weight, priority, virtual_time)
SELECT 'caller_' || n, 'name_' || n, '[]', 0, 1, 0, n FROM ({callers}) AS c
"""
BATCHES = """
INSERT INTO batches (id, caller_id, endpoint, input_file_id, completion_window, request_id, status,
    total, completed, failed, created_at, expires_at, in_progress_at)
SELECT 'batch_' || n, 'caller_' || (1 + n % {of}), '/v1/chat/completions', 'file', '24h', 'req',
    'in_progress', {each}, 0, 0, 0, 9e9, 0 FROM ({batches}) AS b
"""
LANES = """
INSERT INTO batch_lanes (batch_id, lane, caller_id, generation, heartbeat_at, ready, ready_at)
SELECT 'batch_' || b.n, l.n - 2, 'caller_' || (1 + b.n % {of}), 0, 0, l.n > 1,
    CASE WHEN l.n > 1 THEN 1 END
FROM ({batches}) AS b, ({lanes}) AS l
"""
ITEMS = """
INSERT INTO batch_items (batch_id, seq, custom_id, status, body, attempt, errors, crashes, alone,
    not_before)
SELECT 'batch_' || b.n, i.n, 'c', '{status}', '{body}', 0, 0, 0, false, 0
FROM ({batches}) AS b, ({items}) AS i
"""
JOBS = """
INSERT INTO jobs (id, caller_id, name, subject, status, request_id, scheduled, attempt, errors,
    crashes, not_before, deadline_at, created_at)
SELECT '{status}_' || n, 'caller_' || (1 + n % {of}), 'count', '{empty}', '{status}', 'req', false,
    0, 0, 0, 1, 9e9, 0 FROM ({jobs}) AS j
"""
WEBHOOKS = """
INSERT INTO webhooks (id, caller_id, name, url, events, secret, created_at, updated_at)
SELECT 'webhook_' || n, 'caller_' || n, '', 'https://receiver.example/', '[]', 'whsec_', 0, 0
FROM ({callers}) AS c
"""
MESSAGES = """
INSERT INTO webhook_deliveries (id, webhook_id, event, subject_id, payload, status, attempt,
    next_at, created_at)
SELECT '{status}_' || n, 'webhook_' || (1 + n % {of}), 'job.failed', '{status}_' || n, '',
    '{status}', 0, 1, 0 FROM ({messages}) AS m
"""


def fill(
    session: Session,
    *,
    callers: int,
    batches: int,
    each: int,
    status: str = "pending",
    body: str = "",
    jobs: int = 0,
    messages: int = 0,
) -> None:
    """Make batches of `each` items, and as many open jobs and messages as are said and as ended."""
    numbers = NUMBERS[session.connection().dialect.name]
    counts = {"callers": callers, "batches": batches, "items": each, "lanes": 3}
    counts |= {"jobs": jobs, "messages": messages}
    values = {name: numbers.format(count) for name, count in counts.items()}
    if session.connection().dialect.name == "postgresql":
        session.execute(text("SET LOCAL session_replication_role = replica"))  # no foreign keys
    for statement in (CALLERS, BATCHES, LANES, ITEMS, WEBHOOKS):
        filled = statement.format(**values, of=callers, each=each, status=status, body=body)
        session.execute(text(filled))
    for statement, ends in ((JOBS, ("queued", "failed")), (MESSAGES, ("pending", "delivered"))):
        _fill_each(session, statement, ends, values, callers)


def _fill_each(
    session: Session, statement: str, statuses: Sequence[str], values: dict[str, str], of: int
) -> None:
    for status in statuses:
        session.execute(text(statement.format(**values, of=of, status=status, empty="{}")))
