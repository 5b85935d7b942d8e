"""Opens resources one after the other, each within its time, and closes them in reverse."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from engine.errors import OpenError
from engine.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)


class Opening:
    """Enters resources on a stack, each with a time limit for its opening and its closing."""

    def __init__(self, stack: AsyncExitStack, settings: Settings) -> None:
        self._stack = stack
        self._open_timeout = settings.open_timeout
        self._close_timeout = settings.close_timeout

    async def enter(self, name: str, resource: AbstractAsyncContextManager[T]) -> T:
        """Return the opened resource; raise `OpenError` when it fails or takes too long."""
        try:
            async with asyncio.timeout(self._open_timeout):
                opened = await resource.__aenter__()
        except TimeoutError as error:
            raise OpenError(f"{name} did not open within {self._open_timeout:g} s") from error
        except Exception as error:
            reason = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's error
            raise OpenError(f"{name} could not be opened: {reason}") from error
        self._stack.push_async_callback(self._close, name, resource)
        return opened

    async def _close(self, name: str, resource: AbstractAsyncContextManager[T]) -> None:
        try:
            async with asyncio.timeout(self._close_timeout):
                await resource.__aexit__(None, None, None)
        except Exception:
            log.exception("%s did not close well; the other resources are closed too", name)
