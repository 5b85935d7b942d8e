"""Batches, jobs and webhooks."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from engine.settings.values import (
    Amount,
    Count,
    Positive,
    Seconds,
)


class JobSettings(BaseModel):
    """Batches, jobs and webhooks."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    # Jobs
    lease_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 15.0
    """Lease of a worker's items: after this silence of the worker other workers may take them."""
    sweep_seconds: Positive = 1.0
    """How often each worker looks for work by itself, and for expired leases of dead workers."""
    batch_lanes: Count = 2
    """Workers that may work on one batch at once."""
    lane_seconds: Seconds = 5.0
    """How long a worker stays on a lane while callers that go first wait. It then lets the items in
    flight end, and on average half of the lane is empty in that time. With calls of 1 s, turns of
    5 s cost a tenth of the lane, turns of 1 s a third."""
    lanes_per_caller: Count = 8
    """Lanes that one caller has at once, over all workers. Fewer than the 10 of one worker, so that
    other callers need not wait for the end of a turn. 8 lanes of 32 items fill 50 model slots five
    times. Workers that claim in the same moment may exceed it."""
    batch_chunk: Count = 32
    """Items that one lane has in flight: the most that a killed worker repeats. More than half of
    50 model slots, since a few items are always being recorded while the rest is at the model."""
    batch_attempts: Count = 3
    """Tries of an item that fails by itself."""
    batch_crashes: Annotated[int, Field(ge=2)] = 5
    """Times that an item or job may take its worker down before it is given up. Quarantine: an item
    has its last chance alone, so that none is given up for another's crash."""
    worker_batches: Count = 10
    """Lanes of batches that one worker process works on at once."""
    worker_jobs: Count = 10
    """Other jobs that one worker process runs at once, beside the batches."""
    scheduled_jobs: Count = 2
    """Scheduled jobs beside batches and other jobs, so that a full queue does not hold them up."""
    worker_agents: Count = 20
    """Agents' runs for waiting callers that one worker process has at once, and as many in the
    background."""
    keep_days: Seconds = 30.0
    """Age at which ended batches and jobs, their files and webhooks are deleted, and input files
    that no batch needs; responses and conversations go so long after their last use. 0: never. 30
    days is OpenAI's limit for batch files."""
    response_event_seconds: Seconds = 3600.0
    """How long after its end the events of a background response can be streamed again."""
    webhook_timeout: Positive = 15.0
    """Longest wait for the receiver of a webhook."""
    webhook_private_addresses: bool = False
    """Whether webhooks and `resources.guarded_http` may go into this network: callers could reach
    hosts that they must not."""
    webhook_waits: tuple[Seconds, ...] = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
    """Waits between the tries of a webhook, as a JSON list; after the last it is dead. These are
    Svix's: eight tries in 28 hours, so that a receiver may be down for a day."""
    webhook_rotation: Seconds = 86_400.0
    """How long a webhook's old secret signs beside the new one, where that is asked for. OpenAI's
    name for it says 24 hours (`keep_old_secret_active_for_24_hours`), so this is a day."""
    webhooks_per_caller: Amount = 10
    """Webhooks that one caller may have."""
    webhooks_in_flight: Count = 4
    """Tries at once for one caller, so that a receiver that hangs holds only its owner up."""
