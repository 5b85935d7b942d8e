"""Lists in pages, as OpenAI's clients read them."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.domain.tables import BatchRow, FileRow, WebhookRow

T = TypeVar("T")
R = TypeVar("R", FileRow, BatchRow, WebhookRow)


class PageQuery(BaseModel):
    """Which page: at most `limit` things that come after the one with the id `after`."""

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


def rows_of_page(
    session: Session, table: type[R], query: PageQuery, *conditions: ColumnElement[bool]
) -> tuple[list[R], bool]:
    """Return the rows of a page and whether more follow. Ids sort by time."""
    ascending = query.order == "asc"
    statement = select(table).where(*conditions).limit(query.limit + 1)
    statement = statement.order_by(table.id if ascending else table.id.desc())
    if query.after is not None:
        later = table.id > query.after if ascending else table.id < query.after
        statement = statement.where(later)
    rows = list(session.scalars(statement))
    return rows[: query.limit], len(rows) > query.limit
