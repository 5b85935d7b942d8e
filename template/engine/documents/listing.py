"""Pages before or after an id, in the order of a row's own ids."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from engine.documents.schema import StorePageQuery
from engine.documents.tables import StoreFileRow, VectorStoreRow
from engine.errors import InvalidRequest

R = TypeVar("R", VectorStoreRow, StoreFileRow)


def page_of_rows(
    session: Session,
    table: type[R],
    query: StorePageQuery,
    shown_id: InstrumentedAttribute[str],
    *conditions: ColumnElement[bool],
) -> tuple[list[R], bool]:
    """Return a page of rows, and whether more follow. `shown_id` is the id that callers know.

    Raise `InvalidRequest` for a cursor that is none of these rows.
    """
    ascending = query.order == "asc"
    statement = select(table).where(*conditions)
    if query.after is not None:
        place = _place(session, table, shown_id, query.after, "after", *conditions)
        statement = statement.where(table.id > place if ascending else table.id < place)
    backwards = query.before is not None and query.after is None
    if query.before is not None:
        place = _place(session, table, shown_id, query.before, "before", *conditions)
        statement = statement.where(table.id < place if ascending else table.id > place)
    column = table.id.asc() if ascending != backwards else table.id.desc()
    rows = list(session.scalars(statement.order_by(column).limit(query.limit + 1)))
    page = rows[: query.limit]
    return (page[::-1] if backwards else page), len(rows) > query.limit


def _place(
    session: Session,
    table: type[R],
    shown_id: InstrumentedAttribute[str],
    cursor: str,
    param: str,
    *conditions: ColumnElement[bool],
) -> Any:  # noqa: ANN401 -- a text
    place = session.scalar(select(table.id).where(*conditions, shown_id == cursor))
    if place is None:
        raise InvalidRequest(f"There is no {cursor} in this list.", param=param)
    return place
