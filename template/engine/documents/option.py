"""What the option adds to the rest of the engine."""

from engine.documents import words  # makes the index of words with the tables
from engine.documents.file_search import FileSearchTool, check_stores, ground
from engine.documents.ingestion import INGEST
from engine.documents.reembedding import REEMBED
from engine.documents.removal import (
    REMOVE,
    forget_deleted_file,
    remove_expired,
    remove_unused,
)
from engine.documents.resource import Documents, document_settings
from engine.options import Option
from engine.process.queue import Kind

__all__ = ["OPTION", "words"]

OPTION = Option(
    jobs=(INGEST, REMOVE, REEMBED),
    pools=lambda settings: {Kind.DOCUMENTS: document_settings(settings).worker_documents},
    purposes=frozenset({"assistants", "user_data"}),
    state=Documents,
    tools={"file_search": FileSearchTool},
    store_check=check_stores,
    ground=ground,
    file_deleted=forget_deleted_file,
    pieces=lambda _settings: [(remove_expired, 0.0), (remove_unused, 0.0)],
)
