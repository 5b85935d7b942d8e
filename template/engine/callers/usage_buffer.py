"""Write-behind usage buffer: one transaction writes the sums of many calls."""

import asyncio
import logging
from dataclasses import dataclass, field

from pydantic import BaseModel

from engine.callers import usage
from engine.callers.usage import Tally
from engine.errors import Overloaded
from engine.models.interface import Usage
from engine.process.background import Background
from engine.process.tokenizer import Tokenizer
from engine.sql.database import Database

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.1
"""Seconds in which counts gather; a killed process loses the counts of this time. A transaction for
each answer cost an eighth of the processor time of a passed-through chat."""


@dataclass(slots=True)
class UsageBuffer:
    """Sums by caller and model. A background task writes them soon after the first."""

    database: Database
    tokenizer: Tokenizer
    background: Background
    _sums: dict[tuple[str, str], Tally] = field(default_factory=dict)

    def count(self, caller_id: str, model: str, used: Usage) -> None:
        """Add one call. The answer is worth more than the count: no error leaves."""
        first = not self._sums
        before = self._sums.get((caller_id, model)) or Tally(caller_id, model, 0, Usage())
        self._sums[caller_id, model] = Tally(
            caller_id, model, before.requests + 1, before.used + used
        )
        if first:
            try:
                self.background.spawn(self._write)
            except Overloaded:
                self._sums.clear()
                log.warning("usage of %s not counted, too much to count: %s", caller_id, used)

    def count_unfinished(self, caller_id: str, model: str, body: BaseModel, generated: int) -> None:
        """Add a call that broke off before its end: the provider charges it."""
        try:
            self.background.spawn(self._count_unfinished, caller_id, model, body, generated)
        except Overloaded:
            log.warning("usage of %s not counted: too many background tasks", caller_id)

    async def _count_unfinished(
        self, caller_id: str, model: str, body: BaseModel, generated: int
    ) -> None:
        prompt = await self.tokenizer.count(body.model_dump_json())
        self.count(caller_id, model, Usage(prompt, generated))

    async def _write(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        sums, self._sums = self._sums, {}
        in_order = [sums[key] for key in sorted(sums)]  # one lock order for all
        await self.database.write(usage.add_all, in_order)
