"""Vector stores, their files and batches of files, as OpenAI's clients send and read them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from engine.body import NO_NUL, Body
from engine.documents.extract.chunks import ChunkStrategy
from engine.models.interface import Part
from engine.responses.schema import Metadata
from engine.sql.pagination import PageQuery

MOST_FILES = 2000
"""Files that one request attaches. OpenAI's limit."""

FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
AttributeName = Annotated[str, Field(max_length=64, pattern=NO_NUL)]
AttributeText = Annotated[str, Field(max_length=512, pattern=NO_NUL)]
AttributeNumber = Annotated[float, Field(allow_inf_nan=False)]
Attributes = Annotated[
    dict[AttributeName, bool | int | AttributeNumber | AttributeText], Field(max_length=16)
]
"""Up to 16 values of a file, by which a search can filter."""

Name = Annotated[str, Field(max_length=256, pattern=NO_NUL)]
FileId = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_NUL)]


class StaticSizes(Part):
    """Sizes of chunks in tokens."""

    max_chunk_size_tokens: int = Field(default=800, ge=100, le=4096)
    chunk_overlap_tokens: int = Field(default=400, ge=0)

    @model_validator(mode="after")
    def _overlap_is_half_at_most(self) -> "StaticSizes":
        if self.chunk_overlap_tokens * 2 > self.max_chunk_size_tokens:
            raise ValueError("chunk_overlap_tokens is more than half of max_chunk_size_tokens")
        return self


class ChunkingStrategy(Part):
    """How a file is cut: `auto` is 800 tokens, of which 400 are repeated."""

    type: Literal["auto", "static"] = "auto"
    static: StaticSizes | None = None

    @model_validator(mode="after")
    def _sizes_are_static(self) -> "ChunkingStrategy":
        if (self.type == "static") != (self.static is not None):
            raise ValueError("the type static has `static`, the type auto has not")
        return self

    @property
    def sizes(self) -> ChunkStrategy:
        """The sizes to cut by."""
        static = self.static or StaticSizes()
        return ChunkStrategy(static.max_chunk_size_tokens, static.chunk_overlap_tokens)


class ExpiresAfter(Part):
    """Days without use after which a store expires."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class NewStore(Body):
    """Body of `POST /v1/vector_stores`."""

    name: Name | None = None
    description: Annotated[str, Field(max_length=512, pattern=NO_NUL)] | None = None
    file_ids: list[FileId] = Field(default_factory=list, max_length=MOST_FILES)
    chunking_strategy: ChunkingStrategy = Field(default_factory=ChunkingStrategy)
    expires_after: ExpiresAfter | None = None
    metadata: Metadata = Field(default_factory=dict)


class StoreUpdate(BaseModel):
    """Body of `POST /v1/vector_stores/{id}`: a field left out stays as it is, null empties it."""

    name: Name | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class NewStoreFile(Body):
    """Body of `POST /v1/vector_stores/{id}/files`."""

    file_id: FileId
    attributes: Attributes = Field(default_factory=dict)
    chunking_strategy: ChunkingStrategy = Field(default_factory=ChunkingStrategy)


class NewFileBatch(Body):
    """Body of `POST /v1/vector_stores/{id}/file_batches`: `file_ids`, or `files` with their own."""

    file_ids: list[FileId] = Field(default_factory=list, max_length=MOST_FILES)
    files: list[NewStoreFile] = Field(default_factory=list, max_length=MOST_FILES)
    attributes: Attributes = Field(default_factory=dict)
    chunking_strategy: ChunkingStrategy = Field(default_factory=ChunkingStrategy)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "NewFileBatch":
        if bool(self.file_ids) == bool(self.files):
            raise ValueError("send either file_ids or files")
        return self

    @property
    def wanted(self) -> list[NewStoreFile]:
        """The files with what belongs to each."""
        shared = {"attributes": self.attributes, "chunking_strategy": self.chunking_strategy}
        return self.files or [NewStoreFile(file_id=each, **shared) for each in self.file_ids]


class StoreFileUpdate(Body):
    """Body of `POST /v1/vector_stores/{id}/files/{file_id}`."""

    attributes: Attributes = Field(default_factory=dict)


class StorePageQuery(PageQuery):
    """Query of a page of stores or their files, before or after an id."""

    limit: int = Field(default=20, ge=1, le=100)
    before: str | None = None


class StoreFilePageQuery(StorePageQuery):
    """Query of a page of files, of one status where it is given."""

    filter: FileStatus | None = None


class FileCounts(BaseModel):
    """Numbers of files by their status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class VectorStoreObject(BaseModel):
    """A vector store as its caller reads it."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str | None
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["expired", "in_progress", "completed"]
    expires_after: ExpiresAfter | None
    expires_at: int | None
    last_active_at: int
    metadata: dict[str, str]


class LastError(BaseModel):
    """The reason why a file was not ingested."""

    code: str
    message: str


class StoreFileObject(BaseModel):
    """A file in a vector store; its id is that of the file."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    status: FileStatus
    last_error: LastError | None
    usage_bytes: int
    attributes: dict[str, Any]
    chunking_strategy: dict[str, Any]


class FileBatchObject(BaseModel):
    """Files that were attached together; `status` ends once that of each file has."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: FileStatus
    file_counts: FileCounts


class DeletedStore(BaseModel):
    """The answer to the deletion of a store."""

    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: bool = True


class DeletedStoreFile(BaseModel):
    """The answer to the removal of a file from a store; the file itself stays."""

    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: bool = True


class ContentPart(BaseModel):
    """A part of the text of a file."""

    type: Literal["text"] = "text"
    text: str


class ContentPage(BaseModel):
    """The text of a file in a store: a part for each chunk, without what chunks repeat."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[ContentPart]
    has_more: bool = False
    next_page: str | None = None
