"""What the option adds to the rest of the engine."""

from engine.documents import tables
from engine.options import Option

TABLES = (
    tables.VectorStoreRow,
    tables.FileBatchRow,
    tables.StoreFileRow,
    tables.DocumentChunkRow,
    tables.VectorPageRow,
)

OPTION = Option(name="documents", purposes=frozenset({"assistants", "user_data"}))
