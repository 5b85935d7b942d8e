"""Writes the outcomes of many items in one transaction."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from app.domain import items
from app.domain.items import Outcome
from app.domain.lanes import Hold
from app.resources.database import Database
from app.resources.tasks import end_tasks

GATHER_SECONDS = 0.003
"""How long a group gathers: less than a model call by far, and enough for all that end together."""


class Recorder:
    """Groups commits: a transaction for each item would be most of a fast item's cost."""

    def __init__(self, database: Database, hold: Hold, caller_id: str) -> None:
        self._database = database
        self._hold = hold
        self._caller_id = caller_id
        self._waiting: list[tuple[Outcome, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._writing = asyncio.create_task(self._write_groups())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await end_tasks(self._writing)

    async def record(self, outcome: Outcome) -> None:
        """Return once the outcome is committed; raise what kept it from being."""
        committed = asyncio.get_running_loop().create_future()
        self._waiting.append((outcome, committed))
        self._wake.set()
        await committed

    async def _write_groups(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            group, self._waiting = self._waiting, []
            await self._write(group)

    async def _write(self, group: Sequence[tuple[Outcome, asyncio.Future[None]]]) -> None:
        outcomes = [outcome for outcome, _ in group]
        try:
            await self._database.write(items.record, self._hold, self._caller_id, outcomes)
        except Exception as error:  # noqa: BLE001 -- raised again where each outcome is awaited
            for _, committed in group:
                if not committed.done():
                    committed.set_exception(error)
            return
        for _, committed in group:
            if not committed.done():
                committed.set_result(None)
