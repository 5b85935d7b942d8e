"""Pauses: models of a provider that get no calls for a while, each with its reason."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

from engine.errors import ModelRateLimited

MOST = 100
"""Pauses of a provider that are known at once. Callers may name any model, so there is a bound."""


class Reason(StrEnum):
    """The reason of a pause."""

    ASKED = "pause"
    """Its provider asked for it. All processes obey."""
    CIRCUIT = "circuit"
    """The circuit breaker of a process has opened. That process obeys, the rest only know."""


class Pause(NamedTuple):
    """A model that gets no calls for a while."""

    reason: Reason
    model: str


class Pauses:
    """The pauses of one provider, as far as this process knows them."""

    def __init__(self) -> None:
        self._until: dict[Pause, float] = {}
        self._lifted = asyncio.Event()

    def all(self) -> dict[Pause, float]:
        """Return the seconds that are left of each pause."""
        now = self._now()
        return {pause: until - now for pause, until in self._until.items() if until > now}

    def left(self, model: str) -> float:
        """Return the seconds for which the provider wants no call of this model, 0 for none."""
        until = self._until.get(Pause(Reason.ASKED, model))
        return 0.0 if until is None else max(0.0, until - self._now())

    def begin(self, pause: Pause, seconds: float) -> None:
        """Know of one more. Of more than `MOST`, the one that ends first is forgotten."""
        pauses = self.all()
        pauses[pause] = max(seconds, pauses.get(pause, 0.0))
        if len(pauses) > MOST:
            del pauses[min(pauses, key=pauses.__getitem__)]
        self.follow(pauses)

    def follow(self, pauses: Mapping[Pause, float]) -> None:
        """Replace all pauses by these, given the seconds that are left of each."""
        lifted, now = self._until.keys() - pauses.keys(), self._now()
        self._until = {pause: now + seconds for pause, seconds in pauses.items()}
        if lifted:
            self._lifted.set()
            self._lifted.clear()

    async def outlast(self, model: str, longest: float) -> None:
        """Wait until the model's pause is over or lifted.

        Raise `ModelRateLimited` where more than `longest` seconds of it are left.
        """
        while seconds := self.left(model):
            if seconds > longest:
                message = "The model server asked for a pause of this model."
                raise ModelRateLimited(message, retry_after=seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._lifted.wait()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
