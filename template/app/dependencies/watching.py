"""One of this process's few places for callers that watch something live."""

from collections.abc import AsyncIterator

from anyio import WouldBlock

from engine.watch import metrics
from app.dependencies.caller import CurrentCaller
from app.dependencies.resources import Shared
from engine.errors import Overloaded


async def watching(shared: Shared, _caller: CurrentCaller) -> AsyncIterator[None]:
    """Hold a place until the answer has ended; raise `Overloaded` where all are taken."""
    place = object()
    try:
        shared.progress_streams.acquire_on_behalf_of_nowait(place)
    except WouldBlock as error:
        metrics.refused.labels("progress_streams").inc()
        message = "Too many are watching: ask for the batch itself now and then, or come back."
        raise Overloaded(message, retry_after=5.0) from error
    try:
        yield
    finally:
        shared.progress_streams.release_on_behalf_of(place)
