"""This process's metrics as Prometheus reads them, with its limits as they are at that moment."""

from collections.abc import Iterator, Mapping

from anyio import to_thread  # noqa: TID251 -- asked for its limit only
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from engine.resources import Resources
from engine.slots import own_threads
from engine.slots.redis_semaphore import Priority
from engine.slots.semaphore import SlotSemaphore
from engine.watch import metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(resources: Resources) -> bytes:
    """Return all metrics as text. Called on the event loop, where alone AnyIO tells its limits."""
    for name, used, waiting, size in limits_in_use(resources):
        metrics.used.labels(name).set(used)
        metrics.waiting.labels(name).set(waiting)
        metrics.size.labels(name).set(size)
    tell_slots(resources.slots)
    return generate_latest()


def tell_slots(slots_of: Mapping[tuple[str, Priority], SlotSemaphore]) -> None:
    """Set the slots of each provider, here and in all processes."""
    for (pool, priority), slots in slots_of.items():
        for state in ("held", "allowed", "cap", "waiting"):
            metrics.slots.labels(pool, priority, state).set(getattr(slots, state))


def limits_in_use(resources: Resources) -> Iterator[tuple[str, float, int, float]]:
    """Yield each limit of this process: its name, places in use, waiters, its size."""
    for name, queue in {"requests": resources.admission_queue, **own_threads.limits}.items():
        yield name, queue.taken, queue.waiting, queue.places
    background = resources.background
    yield "background_tasks", len(background), 0, background.limit
    limiters = {
        "streams": resources.streams,
        "progress_streams": resources.progress_streams,
        "offload_threads": resources.offload.threads,
        "offload_processes": resources.offload.processes,
        "framework_threads": to_thread.current_default_thread_limiter(),
        **resources.database.limits,
    }
    for name, limiter in limiters.items():
        now = limiter.statistics()
        yield name, now.borrowed_tokens, now.tasks_waiting, now.total_tokens
