"""Steps of agents' runs."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import Base, index_of


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
