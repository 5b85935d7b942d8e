"""POST /v1/embeddings: texts to vectors."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from app.api.answering import TokenUsage, answer_whole
from app.dependencies.body import describe_body, json_body
from app.dependencies.model import CallersModel
from engine.models.interface import EmbeddingsRequest
from engine.operations.operation import EMBEDDINGS

router = APIRouter(prefix="/v1", tags=["embeddings"])

EmbeddingsBody = Annotated[EmbeddingsRequest, Depends(json_body(EmbeddingsRequest))]

EXAMPLE = {"model": "embeddings-model", "input": "The capital of France is Paris."}


class Embedding(BaseModel):
    """The vector of one input: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    """OpenAI's list of vectors, for the schema only: providers give bytes."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: TokenUsage


@router.post(
    "/embeddings",
    openapi_extra=describe_body(EmbeddingsRequest, EXAMPLE),
    responses={200: {"model": EmbeddingList}},
)
async def embed(embeddings: EmbeddingsBody, model: CallersModel) -> Response:
    """Answer with one vector for each input, as floats or base64."""
    return await answer_whole(model, EMBEDDINGS, embeddings)
