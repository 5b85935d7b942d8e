"""Vector stores: their model, the children that read files, quotas, search."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from engine.settings.limits import MIB
from engine.settings.values import Amount, Count, Positive


class OptionSettings(BaseModel):
    """Vector stores: their model, the children that read files, quotas, search."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    document_model: str | None = None
    """Model of embeddings for new vector stores; unset: the provider's own. A store keeps the one
    it began with, until `app documents reembed` moves it."""
    document_dimensions: Annotated[int, Field(ge=1, le=4096)] = 256
    """Numbers of one vector. 256 find as well as 1,536 in most texts, at a sixth of the bytes."""
    document_shortened: bool = True
    """Whether the model is asked for so many dimensions. Set it to false for a server that refuses
    `dimensions`, and DOCUMENT_DIMENSIONS to what its model gives."""
    worker_documents: Count = 2
    """Files that one worker process ingests at once, each read by a child process."""
    document_memory: Annotated[int, Field(ge=128 * MIB)] = 512 * MIB
    """Most addresses of the child that reads one file, in bytes; its libraries take 100 MiB of
    them. In memory it took 62 MB for a PDF of 5,000 pages and 56 MB for a text of 50 MB. Two
    children and a worker fit into 2 GiB."""
    document_cpu_seconds: Count = 300
    """Longest time of the processor that the child has for one file."""
    document_seconds: Positive = 600.0
    """Longest time for one file, without that in which its chunks are written."""
    vector_stores_per_caller: Amount = 100
    """Vector stores that one caller may have."""
    document_files_per_caller: Amount = 10_000
    """Files that one caller may have in all vector stores."""
    document_chunks_per_caller: Amount = 200_000
    """Chunks that one caller may have in all vector stores."""
    document_bytes_per_caller: Amount = 1024 * MIB
    """Bytes that one caller's files in all vector stores may have."""
    file_search_tokens: Count | None = None
    """Most tokens of sources that `file_search` puts before the model. Unset: 8,000, for the model
    `local` half of LOCAL_CONTEXT."""
    search_cache_bytes: Amount = 256 * MIB
    """Vectors that one process keeps in memory, the least recently used go first. 100,000 chunks
    have 100 MiB: a search by meaning and words took 45 ms on SQLite with them in memory, 104 ms
    without, and on PostgreSQL 85 and 241 ms."""
    keyword_rows: Count = 10_000
    """Chunks with the rarest words of a query that are ranked. More of them take longer: 10,000 of
    100,000 took 19 ms on SQLite. With all of them 0.925 of known passages were among the first
    ten by words alone, with these 0.89."""
