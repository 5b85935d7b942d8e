"""Responses, their items, conversations, events of those in the background, and steps of agents."""

from sqlalchemy import ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import Base, index_of


class ConversationRow(Base):
    """A conversation: the head of a chain of responses.

    `held_by` is the background response that will be its next turn: nothing else moves the head
    until that has ended. The metadata are JSON as bytes, because PostgreSQL's JSON takes no NUL.
    """

    __tablename__ = "conversations"
    __table_args__ = (Index("ix_conversations_used_at", "used_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
    labels: Mapped[bytes] = mapped_column("metadata")
    head_id: Mapped[str | None] = mapped_column(String(40))
    held_by: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[float]
    used_at: Mapped[float]


class ResponseRow(Base):
    """A stored response. `previous_id` is the response that it continues.

    One with the status `hidden` is a link of a conversation, and no response to its caller.

    `request` is its body as it came, kept only while a worker may need it; `body` is the response
    as its caller reads it. Both are bytes, because PostgreSQL's JSON takes no NUL. `used_at`
    is when it was made or last continued, by itself or within a chain; it may lag by a day.
    """

    __tablename__ = "responses"
    __table_args__ = (
        Index("ix_responses_caller", "caller_id", "id"),
        Index("ix_responses_used_at", "used_at"),
        index_of("job_id IS NOT NULL", "ix_responses_job", "job_id", unique=True),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
    previous_id: Mapped[str | None] = mapped_column(String(64))
    job_id: Mapped[str | None] = mapped_column(String(40))
    conversation_id: Mapped[str | None] = mapped_column(String(40))
    model: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(20))
    background: Mapped[bool]
    request: Mapped[bytes | None]
    body: Mapped[bytes]
    created_at: Mapped[float]
    finished_at: Mapped[float | None]
    used_at: Mapped[float]


class ResponseItemRow(Base):
    """An item of a response: its input first, then its `output`, by their position from 0.

    An item that a caller sends again has its id in several responses.
    """

    __tablename__ = "response_items"
    __table_args__ = (Index("ix_response_items_id", "caller_id", "id", "response_id"),)

    response_id: Mapped[str] = mapped_column(
        ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    caller_id: Mapped[str] = mapped_column(String(40))
    output: Mapped[bool]
    data: Mapped[bytes]


class ResponseEventRow(Base):
    """A group of events of a background response, as server-sent events in their order.

    `first_seq` and `last_seq` are the sequence numbers of the first and the last.
    """

    __tablename__ = "response_events"

    response_id: Mapped[str] = mapped_column(
        ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True
    )
    first_seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    last_seq: Mapped[int]
    data: Mapped[bytes]


class AgentStepRow(Base):
    """A step of an agent's run, by its position from 0: an answer of the model, or a tool's call.

    The answers are items of a response, as JSON; a call has its arguments as `input` and a text as
    `output`. `approval_id` is the earlier step that a human has approved or denied, and whose key
    this one goes on with.
    """

    __tablename__ = "agent_steps"
    __table_args__ = (
        Index("ix_agent_steps_response", "response_id", "position", unique=True),
        index_of("approval_id IS NOT NULL", "ix_agent_steps_approval", "approval_id", unique=True),
        index_of("status = 'approval'", "ix_agent_steps_waiting", "started_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    response_id: Mapped[str] = mapped_column(ForeignKey("responses.id", ondelete="CASCADE"))
    position: Mapped[int]
    kind: Mapped[str] = mapped_column(String(10))
    name: Mapped[str] = mapped_column(String(200))
    input: Mapped[bytes]
    status: Mapped[str] = mapped_column(String(20))
    attempt: Mapped[int]
    output: Mapped[bytes | None]
    usage: Mapped[bytes | None]
    approval_id: Mapped[str | None] = mapped_column(String(40))
    started_at: Mapped[float]
    finished_at: Mapped[float | None]
