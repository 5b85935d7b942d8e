"""Vector stores: files that are searched by meaning and by words, in OpenAI's protocol."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from app.api.errors import failures
from app.dependencies.body import describe_body, json_body
from app.dependencies.database import CallersRows
from app.dependencies.idempotency import Once
from app.dependencies.resources import Shared
from engine.documents import stores
from engine.documents.resource import documents_of
from engine.documents.schema import (
    DeletedStore,
    NewStore,
    StorePageQuery,
    StoreUpdate,
    VectorStoreObject,
)
from engine.errors import NotFound
from engine.process.queue import Kind
from engine.sql.pagination import Page
from engine.watch.telemetry import request_id

router = APIRouter(prefix="/v1/vector_stores", tags=["vector stores"])

NewStoreBody = Annotated[NewStore, Depends(json_body(NewStore))]
UpdateBody = Annotated[StoreUpdate, Depends(json_body(StoreUpdate))]

EXAMPLE = {"name": "Handbook", "file_ids": []}


@router.post("", openapi_extra=describe_body(NewStore, EXAMPLE), responses=failures(NotFound))
async def create_vector_store(new: NewStoreBody, once: Once, shared: Shared) -> VectorStoreObject:
    """Make a vector store, with its first files where `file_ids` has some."""
    documents = documents_of(shared)
    made = await once.write(
        stores.create_store,
        new,
        settings=documents.settings,
        space=documents.space,
        request_id=request_id.get(),
    )
    if new.file_ids:
        await shared.queue.wake(Kind.DOCUMENTS)
    return made


@router.get("")
async def list_vector_stores(
    rows: CallersRows, query: Annotated[StorePageQuery, Query()]
) -> Page[VectorStoreObject]:
    """List the caller's vector stores, the newest first."""
    return await rows.read(stores.page_of_stores, query)


@router.get("/{vector_store_id}", responses=failures(NotFound))
async def get_vector_store(vector_store_id: str, rows: CallersRows) -> VectorStoreObject:
    """Return a vector store with the numbers of its files."""
    return await rows.read(stores.get_store, vector_store_id)


@router.post(
    "/{vector_store_id}",
    openapi_extra=describe_body(StoreUpdate, {"name": "Handbook of 2026"}),
    responses=failures(NotFound),
)
async def update_vector_store(
    vector_store_id: str, update: UpdateBody, rows: CallersRows
) -> VectorStoreObject:
    """Change the name, the metadata or the expiry of a vector store."""
    return await rows.write(stores.update_store, vector_store_id, update)


@router.delete("/{vector_store_id}", responses=failures(NotFound))
async def delete_vector_store(
    vector_store_id: str, rows: CallersRows, shared: Shared
) -> DeletedStore:
    """Delete a vector store. The files themselves stay."""
    deleted = await rows.write(stores.delete_store, vector_store_id, request_id.get())
    await shared.queue.wake(Kind.JOBS)
    return deleted
