"""Group commit: one transaction writes the outcomes of many items."""

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeAlias

from engine.batches import items
from engine.batches.items import ItemOutcome
from engine.batches.lanes import LaneHold
from engine.process.outages import is_refused
from engine.process.tasks import end_tasks
from engine.sql.database import Database
from engine.work.retry_policy import UNRECORDABLE, UNRECORDABLE_MESSAGE

log = logging.getLogger(__name__)

Group: TypeAlias = Sequence[tuple[ItemOutcome, asyncio.Future[None]]]
"""Outcomes, each with the future that is settled once it is committed."""

GATHER_SECONDS = 0.003
"""Seconds in which a group gathers: far below a model call, enough for items ending together."""


class GroupCommit:
    """Group commit: a transaction for each item would be most of a fast item's cost."""

    def __init__(self, database: Database, hold: LaneHold, caller_id: str) -> None:
        self._database = database
        self._hold = hold
        self._caller_id = caller_id
        self._waiting: list[tuple[ItemOutcome, asyncio.Future[None]]] = []
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

    async def record(self, outcome: ItemOutcome) -> None:
        """Return once the outcome is committed; raise the error that prevented it."""
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

    async def _write(self, group: Group) -> None:
        """Write the outcomes; where SQL refuses them, one by one, a refused one as unrecordable.

        To give all of them back instead would ask the provider again, for ever.
        """
        outcomes = [outcome for outcome, _ in group]
        try:
            await self._database.write(items.record_items, self._hold, self._caller_id, outcomes)
        except Exception as error:
            if not is_refused(error) or outcomes[0].error_code == UNRECORDABLE:
                _settle(group, error)
            elif len(group) > 1:
                for each in group:
                    await self._write([each])
            else:
                log.exception("the outcome of item %s cannot be kept", outcomes[0].item_id)
                await self._write([(_unrecordable(outcomes[0]), group[0][1])])
        else:
            _settle(group)


def _settle(group: Group, error: Exception | None = None) -> None:
    for _, committed in group:
        if committed.done():
            continue
        if error:
            committed.set_exception(error)
        else:
            committed.set_result(None)


def _unrecordable(outcome: ItemOutcome) -> ItemOutcome:
    return ItemOutcome(
        outcome.item_id,
        outcome.attempt,
        "failed",
        error_code=UNRECORDABLE,
        error_message=UNRECORDABLE_MESSAGE,
    )
