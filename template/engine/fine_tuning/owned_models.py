"""Models of single callers: a name that begins with `ft:` is nobody's until it is adopted."""

import re
import time
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.errors import NotFound
from engine.fine_tuning.tables import CallerModelRow, FineTuningJobRow
from engine.models.interface import FINE_TUNED, ModelCard
from engine.settings import Settings
from engine.sql.database import Database

PRIVATE = re.compile(r"\b" + FINE_TUNED, re.IGNORECASE)
"""Also `openai/ft:…` and `FT:…`, which a router behind OPENAI_BASE_URL may take for the same."""


class OwnedModels:
    """Keeps a fine-tuned model from all but its caller: only such names are looked up."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._shared = frozenset(settings.fine_tuned_models_shared) | {settings.default_model}
        self._database = database

    async def require_owner(self, caller_id: str, model: str) -> None:
        """Raise the same `NotFound` for another caller's model and for one that is not there."""
        if not self._is_private(model):
            return
        if not await self._database.read(owns_model, caller_id, model):
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise NotFound(message, param="model", code="model_not_found")

    async def visible_models(self, caller_id: str, cards: list[ModelCard]) -> list[ModelCard]:
        """Return the cards of base models, and behind them those of the caller's own."""
        own = await self._database.read(own_models, caller_id)
        return [card for card in cards if not self._is_private(card.id)] + own

    def _is_private(self, model: str) -> bool:
        return bool(PRIVATE.search(model)) and model not in self._shared


def owns_model(session: Session, caller_id: str, model: str) -> bool:
    """Return whether the model is this caller's."""
    row = session.get(CallerModelRow, model)
    return row is not None and row.caller_id == caller_id


def own_models(session: Session, caller_id: str) -> list[ModelCard]:
    """Return the models of a caller."""
    rows = session.scalars(
        select(CallerModelRow)
        .where(CallerModelRow.caller_id == caller_id)
        .order_by(CallerModelRow.name)
    )
    return [ModelCard(id=row.name, created=int(row.created_at), owned_by=caller_id) for row in rows]


def adopt_models(session: Session, job: FineTuningJobRow, names: Sequence[str]) -> set[str]:
    """Give models to the caller of their job; return the names that are now the caller's.

    A name that is no fine-tuned model's, or belongs to another job, is left out: a provider that
    errs must not hide a base model from all callers, nor hand over another caller's model.
    """
    adopted = set()
    for name in names:
        if not name.startswith(FINE_TUNED):
            continue
        row = session.get(CallerModelRow, name)
        if row is None:
            row = CallerModelRow(
                name=name, caller_id=job.caller_id, job_id=job.id, created_at=time.time()
            )
            session.add(row)
        if row.job_id == job.id:
            adopted.add(name)
    return adopted
