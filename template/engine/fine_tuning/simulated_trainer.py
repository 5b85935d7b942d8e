"""A trainer that trains nothing: each job ends by the clock, as the name of its file says.

For tests, and so that one service of this kind can be the provider of another. A name with `fail`
in it ends as failed, one with `stuck` never ends, any other succeeds. It keeps no state: the ids
that it gives say all, in every process and after a kill.
"""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from engine.errors import Unsupported
from engine.fine_tuning.provider_job import Action, ProviderError, ProviderEvent, ProviderJob
from engine.fine_tuning.schema import Checkpoint
from engine.fine_tuning.tables import FineTuningJobRow
from engine.models import wire
from engine.models.interface import FINE_TUNED
from engine.models.simulated import CHAT
from engine.settings import Settings
from engine.sql.statements import new_id


class SimulatedTrainer:
    """The trainer of the provider `simulated`."""

    def __init__(self, settings: Settings, row: FineTuningJobRow) -> None:
        self._seconds = settings.simulated_training_seconds
        self._row = row

    async def upload(self, filename: str, _size: int, _parts: AsyncIterator[bytes]) -> str:
        """Read the outcome in the name."""
        for outcome in ("fail", "stuck"):
            if outcome in filename.lower():
                return f"{outcome}_{new_id('file')}"
        return f"good_{new_id('file')}"

    async def create(self, body: dict[str, Any]) -> ProviderJob:
        """Begin now. Raise `NotFound` for a model that is not `simulated-chat`, or made of it."""
        base = (
            body["model"].split(":")[1] if body["model"].startswith(FINE_TUNED) else body["model"]
        )
        wire.require_model(base, [CHAT])
        outcome = body["training_file"].split("_")[0]
        ends_at = time.time() + self._seconds
        return self._state(f"simulated-{outcome}-{ends_at:.3f}-{self._row.id}")

    async def find(self, _files: Sequence[str], _since: float) -> None:
        """Find nothing: a job that was not recorded does not exist."""

    async def look(self, job_id: str) -> ProviderJob:
        """Return the state at this moment."""
        return self._state(job_id)

    async def act(self, job_id: str, action: Action) -> ProviderJob:
        """Cancel an unfinished job. Raise `Unsupported` for all else."""
        if action != "cancel":
            raise Unsupported(f"The simulated trainer cannot {action} a job.", param="action")
        state = self._state(job_id)
        ended = state.status in ("succeeded", "failed")
        return state if ended else state.model_copy(update={"status": "cancelled"})

    async def events(self, _job_id: str, known: set[str]) -> list[ProviderEvent]:
        """Say once that all is made up."""
        message = "The training is simulated: the model is as it was."
        event = ProviderEvent(id="simulated", created_at=int(time.time()), message=message)
        return [] if event.id in known else [event]

    async def checkpoints(
        self, _job_id: str, _query: dict[str, str]
    ) -> tuple[list[Checkpoint], bool]:
        """Return none."""
        return [], False

    async def remove_files(self, _files: Sequence[str]) -> None:
        """Delete nothing: no file was kept."""

    def _state(self, job_id: str) -> ProviderJob:
        _, outcome, ends_at, _ = job_id.split("-")
        if outcome == "stuck" or time.time() < float(ends_at):
            return ProviderJob(id=job_id, status="running")
        if outcome == "fail":
            error = ProviderError(code="simulated_failure", message="It fails as its file says.")
            return ProviderJob(id=job_id, status="failed", error=error)
        row, middle = self._row, f"{FINE_TUNED}{CHAT}:simulated"
        name = f"{middle}:{_suffix_of(row)}:{row.id[-12:]}"
        return ProviderJob(
            id=job_id, status="succeeded", fine_tuned_model=name, trained_tokens=row.tokens
        )


def _suffix_of(row: FineTuningJobRow) -> str:
    return str(msgspec.json.decode(row.request).get("suffix") or "")
