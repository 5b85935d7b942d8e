"""How long this request may take."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header

from app import deadline


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment, on the loop's clock, when a request's time runs out; None: it never does."""

    at: float | None

    def limit(self) -> AbstractAsyncContextManager[None]:
        """Cancel what runs inside when the time is out, and raise `DeadlineExceeded`."""
        return deadline.limit(self.at)


async def request_deadline(
    _wish: Annotated[
        str | None,
        Header(alias="X-Request-Timeout", description="Seconds that this request may take."),
    ] = None,
) -> Deadline:
    """Return the request's deadline, as `api/deadlines.py` has read it from the header."""
    return Deadline(deadline.ends_at.get())


RequestDeadline = Annotated[Deadline, Depends(request_deadline)]
