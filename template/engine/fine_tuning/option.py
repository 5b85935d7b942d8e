"""What the option adds to the rest of the engine."""

from collections import Counter

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from engine.fine_tuning.jobs import PURPOSE, keep_open_files
from engine.fine_tuning.owned_models import OwnedModels
from engine.fine_tuning.tables import FineTuningJobRow
from engine.fine_tuning.training import FINE_TUNE
from engine.jobs.jobs import DAY
from engine.options import Option, Pieces
from engine.sql.statements import now, rows_changed, some_rows

ROWS = 50
"""Jobs of one piece of retention; each may have many events."""


def delete_fine_tunings(session: Session, seconds: float) -> Counter[str]:
    """Delete jobs that ended before, with their events; their models stay."""
    row = FineTuningJobRow
    old = select(row.id).where(row.finished_at < now() - seconds).order_by(row.id)
    rows = some_rows(old.limit(ROWS).with_for_update(skip_locked=True))
    return +Counter(fine_tunings=rows_changed(session, delete(row).where(row.id.in_(rows))))


_pieces: Pieces = lambda settings: (  # noqa: E731
    [(delete_fine_tunings, settings.keep_days * DAY)] if settings.keep_days > 0 else []
)

OPTION = Option(
    jobs=(FINE_TUNE,),
    purposes=frozenset({PURPOSE}),
    file_deleted=keep_open_files,
    model_owners=OwnedModels,
    pieces=_pieces,
)
