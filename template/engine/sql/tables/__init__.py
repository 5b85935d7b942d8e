"""Every table. Importing one from here registers all of them."""

from engine.sql.tables.batches import (
    BatchLaneRow,
    BatchRow,
    FileChunkRow,
    FileRow,
    ItemRow,
    LeaseRow,
    PauseRow,
)
from engine.sql.tables.callers import (
    ApiKeyRow,
    CallerRow,
    IdempotencyRow,
    UsageRow,
)
from engine.sql.tables.jobs import JobRow, ScheduleRow, WorkerRow
from engine.sql.tables.registry import Base
from engine.sql.tables.responses import (
    AgentStepRow,
    ConversationRow,
    ResponseEventRow,
    ResponseItemRow,
    ResponseRow,
)
from engine.sql.tables.webhooks import WebhookDeliveryRow, WebhookRow

__all__ = [
    "AgentStepRow",
    "ApiKeyRow",
    "Base",
    "BatchLaneRow",
    "BatchRow",
    "CallerRow",
    "ConversationRow",
    "FileChunkRow",
    "FileRow",
    "IdempotencyRow",
    "ItemRow",
    "JobRow",
    "LeaseRow",
    "PauseRow",
    "ResponseEventRow",
    "ResponseItemRow",
    "ResponseRow",
    "ScheduleRow",
    "UsageRow",
    "WebhookDeliveryRow",
    "WebhookRow",
    "WorkerRow",
]
