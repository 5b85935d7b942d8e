"""Pages of items: of the input of a response, and of a whole chain."""

from typing import Any

import msgspec
from sqlalchemy import Select, SQLColumnExpression, select, tuple_
from sqlalchemy.orm import Session

from engine.errors import NotFound
from engine.models.wire import Json
from engine.responses.schema import echoed_item
from engine.responses.store import require_response
from engine.responses.transcript import chain_to
from engine.sql.pagination import Page, PageQuery
from engine.sql.tables import ResponseItemRow as Item


def page_of_input_items(
    session: Session, caller_id: str, response_id: str, query: PageQuery
) -> Page[Json]:
    """Return a page of a response's own input; raise `NotFound` where there is no response."""
    require_response(session, caller_id, response_id)
    own = select(Item).where(Item.response_id == response_id, Item.output.is_(False))
    return page_of_items(session, query, own, Item.position)


def page_of_chain(session: Session, caller_id: str, head_id: str, query: PageQuery) -> Page[Json]:
    """Return a page of all items of a chain."""
    chain = chain_to(caller_id, head_id)
    items = select(Item).join(chain, Item.response_id == chain.c.id)
    return page_of_items(session, query, items, -chain.c.depth, Item.position)


def page_of_items(
    session: Session, query: PageQuery, items: Select[Any], *place: SQLColumnExpression[Any]
) -> Page[Json]:
    """Return a page of items; their `place` grows with time. Raise `NotFound` for its cursor."""
    ascending = query.order == "asc"
    backwards = [each.desc() for each in place]
    statement = items.with_only_columns(Item.id, Item.data).limit(query.limit + 1)
    statement = statement.order_by(*(place if ascending else backwards))
    if query.after is not None:
        # An id may come twice in what a caller sends: the next page begins after both.
        same = items.with_only_columns(*place).where(Item.id == query.after).limit(1)
        cursor = session.execute(same.order_by(*(backwards if ascending else place))).first()
        if cursor is None:
            raise NotFound(f"Item with id '{query.after}' not found.", param="after")
        here, last = tuple_(*place), tuple_(*cursor)
        statement = statement.where(here > last if ascending else here < last)
    found = session.execute(statement).all()
    rows = found[: query.limit]
    return Page(
        data=[echoed_item(msgspec.json.decode(row.data)) for row in rows],
        first_id=rows[0].id if rows else None,
        last_id=rows[-1].id if rows else None,
        has_more=len(found) > query.limit,
    )
