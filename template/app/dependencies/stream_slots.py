"""This process's slots for answers that stream, and for callers that watch a batch."""

from collections.abc import AsyncIterator

from anyio import WouldBlock

from app.dependencies.caller import CurrentCaller
from app.dependencies.resources import Shared
from engine.errors import Overloaded
from engine.resources import Resources
from engine.slots.admission_queue import OnFinish
from engine.watch import metrics


def hold_stream(on_finish: OnFinish, shared: Resources) -> None:
    """Hold a place until the answer has ended; raise `Overloaded` where all are taken."""
    place = object()
    try:
        shared.streams.acquire_on_behalf_of_nowait(place)
    except WouldBlock as error:
        metrics.refused.labels("streams").inc()
        message = "Too many answers are streaming. Try again in a moment, or set `stream` to false."
        raise Overloaded(message, code="streams_full", retry_after=5.0) from error
    on_finish.append(lambda: shared.streams.release_on_behalf_of(place))


async def hold_watch(shared: Shared, _caller: CurrentCaller) -> AsyncIterator[None]:
    """Hold a place until the answer has ended; raise `Overloaded` where all are taken."""
    place = object()
    try:
        shared.progress_streams.acquire_on_behalf_of_nowait(place)
    except WouldBlock as error:
        metrics.refused.labels("progress_streams").inc()
        message = "Too many progress streams are open. Poll the batch instead, or try again."
        raise Overloaded(message, retry_after=5.0) from error
    try:
        yield
    finally:
        shared.progress_streams.release_on_behalf_of(place)
