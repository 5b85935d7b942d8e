"""Every table. Importing one from here registers all of them."""

from engine.sql.tables.batches import (
    BatchLaneRow,
    BatchRow,
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
from engine.sql.tables.files import FileChunkRow, FileRow
from engine.sql.tables.jobs import JobRow, ScheduleRow
from engine.sql.tables.registry import Base
from engine.sql.tables.webhooks import WebhookDeliveryRow, WebhookRow
from engine.sql.tables.workers import WorkerRow

__all__ = [
    "ApiKeyRow",
    "Base",
    "BatchLaneRow",
    "BatchRow",
    "CallerRow",
    "FileChunkRow",
    "FileRow",
    "IdempotencyRow",
    "ItemRow",
    "JobRow",
    "LeaseRow",
    "PauseRow",
    "ScheduleRow",
    "UsageRow",
    "WebhookDeliveryRow",
    "WebhookRow",
    "WorkerRow",
]
