"""Vector stores that are filled at once, for tests of a search alone."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from engine.documents.embedding import PAGE
from engine.documents.space import Space, Vectors, embed_texts
from engine.documents.tables import DocumentChunkRow, StoreFileRow, VectorPageRow, VectorStoreRow
from engine.documents.words import scope_of
from engine.models.wire import encode_json
from engine.operations.bound_model import BoundModel
from engine.resources import Resources, model_for
from engine.sql.statements import new_id

SPACE = Space("simulated-embeddings", 256, shortened=True)


@dataclass(frozen=True, slots=True)
class Stocked:
    """A store, and a way to fill it."""

    resources: Resources
    caller_id: str
    id: str
    space: Space = SPACE

    @property
    def model(self) -> BoundModel:
        """The model of the store's caller."""
        return model_for(self.resources, self.caller_id)

    async def add(
        self,
        *texts: str,
        attributes: Mapping[str, Any] | None = None,
        status: str = "completed",
    ) -> str:
        """Add a file with these chunks; return its id."""
        vectors = await embed_texts(self.model, self.space, texts)
        row = file_row(self, attributes or {}, status)
        await self.resources.database.write(fill, row, self.space, texts, vectors)
        return row.file_id


async def stock(resources: Resources, caller_id: str, space: Space = SPACE) -> Stocked:
    """Return a new store of a caller."""
    stocked = Stocked(resources, caller_id, new_id("vs"), space)
    await resources.database.write(add_store, stocked)
    return stocked


def file_row(store: Stocked, attributes: Mapping[str, Any], status: str) -> StoreFileRow:
    """Return the row of a new file in a store."""
    file_id = new_id("file")
    return StoreFileRow(
        id=new_id("vsf"),
        store_id=store.id,
        file_id=file_id,
        caller_id=store.caller_id,
        job_id=new_id("job"),
        filename=f"{file_id}.txt",
        attributes=encode_json(attributes),
        strategy=encode_json((800, 400)),
        status=status,
        extracted=True,
        created_at=time.time(),
    )


def fill(
    session: Session, row: StoreFileRow, space: Space, texts: Sequence[str], vectors: Vectors
) -> None:
    """Add a file with its chunks and their vectors."""
    row.chunks, row.usage_bytes = len(texts), vectors.nbytes
    session.add(row)
    session.flush()
    scope = scope_of(row.store_id)
    session.add_all(
        DocumentChunkRow(
            store_file_id=row.id, scope=scope, seq=seq, text=text, tokens=1, repeated=0, page=seq
        )
        for seq, text in enumerate(texts)
    )
    for first in range(0, len(texts), PAGE):
        page = VectorPageRow(store_file_id=row.id, space=space.name, first=first)
        page.vectors = vectors[first : first + PAGE].tobytes()
        page.count = len(texts[first : first + PAGE])
        session.add(page)


def add_store(session: Session, store: Stocked) -> None:
    """Make the row of a store."""
    at = time.time()
    row = VectorStoreRow(id=store.id, caller_id=store.caller_id, labels=b"{}")
    row.space, row.dimensions = store.space.name, store.space.dimensions
    row.created_at = row.last_active_at = at
    session.add(row)
    session.flush()
