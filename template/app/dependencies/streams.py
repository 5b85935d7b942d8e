"""One of this process's places for answers that stream."""

from anyio import WouldBlock

from engine.watch import metrics
from app.dependencies.held import Holding
from engine.errors import Overloaded
from app.resources.lifespan import Resources


def hold_stream(held: Holding, shared: Resources) -> None:
    """Hold a place until the answer has ended; raise `Overloaded` where all are taken."""
    place = object()
    try:
        shared.streams.acquire_on_behalf_of_nowait(place)
    except WouldBlock as error:
        metrics.refused.labels("streams").inc()
        message = "Too many answers are streaming: come back in a moment, or ask for a whole one."
        raise Overloaded(message, code="streams_full", retry_after=5.0) from error
    held.append(lambda: shared.streams.release_on_behalf_of(place))
