"""Rows of the past, for tests of views and of retention."""

import time
from uuid import uuid4

from sqlalchemy.orm import Session

from engine.sql.statements import id_at
from engine.sql.tables import (
    AgentStepRow,
    BatchLaneRow,
    BatchRow,
    CallerRow,
    ConversationRow,
    FileChunkRow,
    FileRow,
    IdempotencyRow,
    ItemRow,
    JobRow,
    ResponseEventRow,
    ResponseItemRow,
    ResponseRow,
    WebhookDeliveryRow,
    WebhookRow,
)

DAY = 86_400.0
CALLER = "caller_a"
END = {
    "completed": "completed_at",
    "failed": "failed_at",
    "expired": "expired_at",
    "cancelled": "cancelled_at",
}


def ago(days: float) -> float:
    """Return the moment so many days ago."""
    return time.time() - days * DAY


def old_id(kind: str, days: float) -> str:
    """Return an id as it was made so many days ago."""
    return id_at(kind, ago(days)) + uuid4().hex[:20]


def add_caller(session: Session) -> None:
    """Make the caller whose all these rows are."""
    session.add(CallerRow(id=CALLER, name="ada", flags=[], created_at=ago(100)))
    session.flush()


def add_batch(
    session: Session,
    /,
    days: float,
    status: str = "completed",
    *,
    items: int = 2,
    input_file_id: str = "file_gone",
    **values: object,
) -> str:
    """Make a batch that was created, and where it has ended did so, `days` ago; return its id."""
    batch_id = old_id("batch", days)
    ends = {END[status]: ago(days)} if status in END else {}
    output = add_file(session, days, purpose="batch_output", batch_id=batch_id)
    session.add(
        BatchRow(
            id=batch_id,
            caller_id=CALLER,
            endpoint="/v1/chat/completions",
            input_file_id=input_file_id,
            completion_window="24h",
            request_id="req_1",
            status=status,
            total=items,
            created_at=ago(days),
            expires_at=ago(days - 1),
            output_file_id=output if ends else None,
            **ends,
            **values,
        )
    )
    session.flush()
    waits = {"caller_id": CALLER, "ready": not ends, "ready_at": None if ends else ago(days)}
    session.add_all(BatchLaneRow(batch_id=batch_id, lane=lane, **waits) for lane in range(2))
    session.add_all(
        ItemRow(batch_id=batch_id, seq=seq, custom_id=f"item-{seq}", body=b"{}")
        for seq in range(items)
    )
    session.flush()
    return batch_id


def add_file(
    session: Session,
    /,
    days: float,
    *,
    chunks: int = 0,
    complete: bool = True,
    purpose: str = "batch",
    batch_id: str | None = None,
) -> str:
    """Make a file of so many days ago; return its id."""
    file_id = old_id("file", days)
    session.add(
        FileRow(
            id=file_id,
            caller_id=CALLER,
            filename="in.jsonl",
            purpose=purpose,
            bytes=chunks,
            created_at=ago(days),
            complete=complete,
            batch_id=batch_id,
        )
    )
    session.flush()
    session.add_all(FileChunkRow(file_id=file_id, seq=seq, data=b"x") for seq in range(chunks))
    return file_id


def add_job(session: Session, /, days: float, status: str, **values: object) -> str:
    """Make a job that was created, and where it has ended did so, `days` ago; return its id."""
    job_id = old_id("job", days)
    ended = status not in ("queued", "running", "cancelling")
    common = {"caller_id": CALLER, "name": "report", "subject": {}, "request_id": "req_1"}
    session.add(
        JobRow(
            id=job_id,
            status=status,
            created_at=ago(days),
            not_before=ago(days),
            deadline_at=ago(days - 1),
            finished_at=ago(days) if ended else None,
            **(common | values),
        )
    )
    session.flush()
    return job_id


def add_response(
    session: Session,
    /,
    days: float,
    status: str = "completed",
    *,
    items: int = 2,
    groups: int = 0,
    **values: object,
) -> str:
    """Make a response that was used, and where it has ended did so, `days` ago; return its id."""
    response_id = old_id("resp", days)
    ended = status not in ("queued", "in_progress")
    common = {"caller_id": CALLER, "model": "chat-model", "background": groups > 0, "body": b"{}"}
    ends = {"finished_at": ago(days) if ended else None}
    times = {"created_at": ago(days), "used_at": ago(days), **ends}
    session.add(ResponseRow(id=response_id, status=status, **(common | times | values)))
    session.flush()
    own = {"response_id": response_id, "data": b"{}"}
    session.add_all(
        ResponseItemRow(
            id=f"msg_{place}", position=place, caller_id=CALLER, output=place > 0, **own
        )
        for place in range(items)
    )
    session.add_all(ResponseEventRow(first_seq=seq, last_seq=seq, **own) for seq in range(groups))
    session.flush()
    return response_id


def add_step(session: Session, /, response_id: str, position: int, **values: object) -> str:
    """Make a step of an agent, a call that took 2 s; return its id."""
    step_id, began = old_id("mcp", 1), ago(1)
    common = {"kind": "tool", "name": "refund", "status": "done", "attempt": 1}
    given = {"input": b'{"to": "secret"}', "output": b"secret"}
    times = {"started_at": began, "finished_at": began + 2}
    where = {"id": step_id, "response_id": response_id, "position": position}
    session.add(AgentStepRow(**(where | common | given | times | values)))
    session.flush()
    return step_id


def add_conversation(
    session: Session, /, days: float, *, head_id: str | None = None, held_by: str | None = None
) -> str:
    """Make a conversation that was used so many days ago; return its id."""
    conversation_id = old_id("conv", days)
    session.add(
        ConversationRow(
            id=conversation_id,
            caller_id=CALLER,
            labels=b"{}",
            head_id=head_id,
            held_by=held_by,
            created_at=ago(days),
            used_at=ago(days),
        )
    )
    return conversation_id


def add_webhook(session: Session) -> str:
    """Make a webhook; return its id."""
    session.add(
        WebhookRow(
            id="webhook_1",
            name="",
            updated_at=0.0,
            caller_id=CALLER,
            url="https://receiver.example",
            events=["batch.completed"],
            secret="whsec_",
            created_at=ago(100),
        )
    )
    session.flush()
    return "webhook_1"


def add_delivery(session: Session, days: float, status: str) -> str:
    """Make a message to `webhook_1` of so many days ago; return its id."""
    delivery_id = old_id("evt", days)
    session.add(
        WebhookDeliveryRow(
            id=delivery_id,
            webhook_id="webhook_1",
            event="batch.completed",
            subject_id=old_id("batch", days),
            payload=b"{}",
            status=status,
            next_at=ago(days),
            created_at=ago(days),
            finished_at=None if status == "pending" else ago(days),
        )
    )
    return delivery_id


def add_idempotency_key(session: Session, days: float) -> str:
    """Make an answer of so many days ago; return its key."""
    key = uuid4().hex
    session.add(
        IdempotencyRow(
            caller_id=CALLER, key=key, fingerprint=b"x", answer=b"{}", created_at=ago(days)
        )
    )
    return key
