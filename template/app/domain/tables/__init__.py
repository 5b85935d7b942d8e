"""Every table. Who imports one from here has them all registered."""

from app.domain.tables.batches import BatchRow, DeliveryRow, ItemRow, LeaseRow, PauseRow
from app.domain.tables.callers import ApiKeyRow, CallerRow, IdempotencyRow, UsageRow
from app.domain.tables.files import FileChunkRow, FileRow
from app.domain.tables.jobs import JobRow, ScheduleRow
from app.domain.tables.registry import Base
from app.domain.tables.webhooks import WebhookDeliveryRow, WebhookRow
from app.domain.tables.workers import WorkerRow

__all__ = [
    "ApiKeyRow",
    "Base",
    "BatchRow",
    "CallerRow",
    "DeliveryRow",
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
