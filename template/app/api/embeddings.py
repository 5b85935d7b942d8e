"""POST /v1/embeddings: texts to vectors."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api.answering import ModelAnswer
from app.dependencies.body import describe, json_body
from app.domain.operations import EMBEDDINGS
from app.resources.models.interface import EmbeddingsRequest

router = APIRouter(prefix="/v1", tags=["embeddings"])

EmbeddingsBody = Annotated[EmbeddingsRequest, Depends(json_body(EmbeddingsRequest))]


@router.post("/embeddings", openapi_extra=describe(EmbeddingsRequest))
async def embed(embeddings: EmbeddingsBody, answer: ModelAnswer) -> Response:
    """Answer with one vector for each input, as floats or base64."""
    return await answer.whole(EMBEDDINGS, embeddings)
