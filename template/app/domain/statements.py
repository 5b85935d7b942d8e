"""What a statement has done."""

from sqlalchemy import CursorResult, Delete, Insert, Update
from sqlalchemy.orm import Session


def changed(session: Session, statement: Update | Delete | Insert) -> int:
    """Run the statement and return how many rows it has changed."""
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101 -- what these give
    return result.rowcount
