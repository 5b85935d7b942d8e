"""Cursor pagination, as OpenAI's clients read it."""

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

T = TypeVar("T")
R = TypeVar("R", bound=Any)  # a row with an `id`: no protocol has the types of a mapped column


class PageQuery(BaseModel):
    """The query of a page: at most `limit` things after the one with the id `after`."""

    after: str | None = None
    limit: int = Field(default=20, ge=1, le=10_000)
    order: Literal["asc", "desc"] = "desc"


class Page(BaseModel, Generic[T]):
    """One page. `last_id` is the `after` of the next."""

    object: Literal["list"] = "list"
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


def page_of(
    session: Session,
    table: type[R],
    query: PageQuery,
    show: Callable[[R], T],
    *conditions: ColumnElement[bool],
    place: InstrumentedAttribute[int] | None = None,
) -> Page[T]:
    """Return a page of the rows that meet the conditions, each as `show` shows it.

    They are in the order of their ids, which sort by time, or of `place`.
    """
    ascending, column = query.order == "asc", table.id if place is None else place
    statement = select(table).where(*conditions).limit(query.limit + 1)
    statement = statement.order_by(column if ascending else column.desc())
    if query.after is not None:
        last = select(column).where(*conditions, table.id == query.after).scalar_subquery()
        cursor = query.after if place is None else last
        statement = statement.where(column > cursor if ascending else column < cursor)
    found = list(session.scalars(statement))
    rows = found[: query.limit]
    return Page(
        data=[show(row) for row in rows],
        first_id=rows[0].id if rows else None,
        last_id=rows[-1].id if rows else None,
        has_more=len(found) > query.limit,
    )
