"""Conversations: items that stay, and that each response of the conversation adds to."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from app.api.errors import failures
from app.dependencies.body import describe_body, json_body
from app.dependencies.database import CallersRows
from app.dependencies.idempotency import Once
from app.dependencies.resources import Shared
from engine.body import Body
from engine.errors import NotFound
from engine.models.wire import Json
from engine.responses import conversations
from engine.responses.conversations import ConversationObject
from engine.responses.schema import Metadata
from engine.sql.pagination import Page, PageQuery

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])

MOST_ITEMS_AT_ONCE = 20


class NewConversation(Body):
    """Body of `POST /v1/conversations`."""

    items: list[Json] = Field(default_factory=list, max_length=MOST_ITEMS_AT_ONCE)
    metadata: Metadata = Field(default_factory=dict)


class ConversationUpdate(Body):
    """Body of `POST /v1/conversations/{id}`: a field left out stays as it is."""

    metadata: Metadata | None = None


class NewItems(Body):
    """Body of `POST /v1/conversations/{id}/items`."""

    items: list[Json] = Field(min_length=1, max_length=MOST_ITEMS_AT_ONCE)


class DeletedConversation(BaseModel):
    """The answer to a deletion."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: bool = True


NewConversationBody = Annotated[NewConversation, Depends(json_body(NewConversation))]
UpdateBody = Annotated[ConversationUpdate, Depends(json_body(ConversationUpdate))]
NewItemsBody = Annotated[NewItems, Depends(json_body(NewItems))]

EXAMPLE = {"items": [{"type": "message", "role": "user", "content": "Hello"}]}


@router.post("", openapi_extra=describe_body(NewConversation, EXAMPLE))
async def create_conversation(
    new: NewConversationBody, once: Once, shared: Shared
) -> ConversationObject:
    """Begin a conversation, with at most 20 items."""
    return await once.write(
        conversations.begin_conversation,
        items=new.items,
        metadata=new.metadata,
        most_bytes=shared.settings.max_body_bytes,
    )


@router.get("/{conversation_id}", responses=failures(NotFound))
async def get_conversation(conversation_id: str, rows: CallersRows) -> ConversationObject:
    """Return a conversation without its items."""
    return await rows.read(conversations.find_conversation, conversation_id)


@router.post(
    "/{conversation_id}",
    openapi_extra=describe_body(ConversationUpdate, {"metadata": {"topic": "travel"}}),
    responses=failures(NotFound),
)
async def update_conversation(
    conversation_id: str, update: UpdateBody, rows: CallersRows
) -> ConversationObject:
    """Replace the metadata of a conversation."""
    return await rows.write(conversations.label_conversation, conversation_id, update.metadata)


@router.delete("/{conversation_id}", responses=failures(NotFound))
async def delete_conversation(conversation_id: str, rows: CallersRows) -> DeletedConversation:
    """Delete a conversation. Its responses stay."""
    await rows.write(conversations.forget_conversation, conversation_id)
    return DeletedConversation(id=conversation_id)


@router.post(
    "/{conversation_id}/items",
    openapi_extra=describe_body(NewItems, EXAMPLE),
    responses=failures(NotFound),
)
async def create_items(
    conversation_id: str, new: NewItemsBody, once: Once, shared: Shared
) -> Page[Json]:
    """Add at most 20 items at the end of a conversation."""
    most = shared.settings.max_body_bytes
    return await once.write(conversations.append_items, conversation_id, new.items, most)


@router.get("/{conversation_id}/items", responses=failures(NotFound))
async def list_items(
    conversation_id: str, rows: CallersRows, query: Annotated[PageQuery, Query()]
) -> Page[Json]:
    """List the items of a conversation, the newest first."""
    return await rows.read(conversations.page_of_conversation, conversation_id, query)


@router.get("/{conversation_id}/items/{item_id}", responses=failures(NotFound))
async def get_item(conversation_id: str, item_id: str, rows: CallersRows) -> Json:
    """Return an item of a conversation."""
    return await rows.read(conversations.find_item, conversation_id, item_id)


@router.delete("/{conversation_id}/items/{item_id}", responses=failures(NotFound))
async def delete_item(conversation_id: str, item_id: str, rows: CallersRows) -> ConversationObject:
    """Delete an item of a conversation: no later response reads it."""
    return await rows.write(conversations.forget_item, conversation_id, item_id)
