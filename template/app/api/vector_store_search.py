"""POST /v1/vector_stores/{id}/search: the best chunks for a query."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from app.api.errors import failures
from app.dependencies.body import describe_body, json_body
from app.dependencies.model import CallersModel, until_disconnect
from engine.body import NO_NUL, Body
from engine.documents.file_search import RankingOptions
from engine.documents.schema import ContentPart
from engine.documents.search import Hit, search_store
from engine.errors import NotFound

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}", tags=["vector stores"])

MOST_QUERIES = 5

QueryText = Annotated[str, Field(min_length=1, max_length=4096, pattern=NO_NUL)]


class SearchRequest(Body):
    """Body of a search. `rewrite_query` is taken, and the query stays as it is."""

    query: QueryText | Annotated[list[QueryText], Field(min_length=1, max_length=MOST_QUERIES)]
    filters: dict[str, Any] | None = None
    max_num_results: int = Field(default=10, ge=1, le=50)
    ranking_options: RankingOptions = Field(default_factory=RankingOptions)
    rewrite_query: bool = False

    @property
    def queries(self) -> list[str]:
        """All queries, which are fused."""
        return [self.query] if isinstance(self.query, str) else self.query


class SearchResult(BaseModel):
    """A chunk that was found. The score is the cosine, from 0 to 1; the order is the rank."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, Any]
    content: list[ContentPart]


class SearchPage(BaseModel):
    """All results of a search: there is no second page."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: bool = False
    next_page: str | None = None


SearchBody = Annotated[SearchRequest, Depends(json_body(SearchRequest))]


@router.post(
    "/search",
    openapi_extra=describe_body(SearchRequest, {"query": "How many days of leave are there?"}),
    responses=failures(NotFound),
)
async def search_vector_store(
    vector_store_id: str, body: SearchBody, model: CallersModel
) -> SearchPage:
    """Search by meaning and by words; files that are not ingested yet are left out."""
    searching = search_store(
        model.bound,
        vector_store_id,
        body.queries,
        filters=body.filters,
        most=body.max_num_results,
        ranking=body.ranking_options.ranking,
    )
    hits = await until_disconnect(model.request, searching)
    return SearchPage(search_query=body.queries, data=[_result(hit) for hit in hits])


def _result(hit: Hit) -> SearchResult:
    return SearchResult(
        file_id=hit.file_id,
        filename=hit.filename,
        score=hit.score,
        attributes=hit.attributes,
        content=[ContentPart(text=hit.text)],
    )
