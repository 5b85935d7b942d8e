"""What a statement has done."""

from sqlalchemy import CursorResult, Delete, Update
from sqlalchemy.orm import Session


def changed(session: Session, statement: Update | Delete) -> int:
    """Run the statement and return how many rows it has changed."""
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101 -- what both give
    return result.rowcount
