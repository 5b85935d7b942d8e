"""How long this request may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header

from app.dependencies.resources import Shared
from app.errors import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment, on the loop's clock, when a request's time runs out; None: it never does."""

    at: float | None

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Cancel what runs inside when the time is out, and raise `DeadlineExceeded`."""
        timeout = asyncio.timeout_at(self.at)
        try:
            async with timeout:
                yield
        except TimeoutError as error:
            if timeout.expired():
                raise DeadlineExceeded("The request took longer than its time limit.") from error
            raise


async def deadline(
    shared: Shared,
    x_request_timeout: Annotated[
        float | None, Header(gt=0, description="Seconds that this request may take.")
    ] = None,
) -> Deadline:
    """Return the request's deadline: the caller's wish, bounded by `request_timeout`."""
    longest = shared.settings.request_timeout
    seconds = min(x_request_timeout or longest, longest)
    return Deadline(asyncio.get_running_loop().time() + seconds)


RequestDeadline = Annotated[Deadline, Depends(deadline)]
