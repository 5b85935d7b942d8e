"""GET /v1/models: the models that a request may name."""

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.errors import failures
from app.dependencies.caller import CurrentCaller
from app.dependencies.resources import Shared
from engine.errors import ModelError, ModelRateLimited, NotFound
from engine.models.interface import ModelCard

router = APIRouter(
    prefix="/v1/models", tags=["models"], responses=failures(ModelError, ModelRateLimited)
)


class ModelList(BaseModel):
    """OpenAI's list of models."""

    object: str = "list"
    data: list[ModelCard]


@router.get("")
async def list_models(_caller: CurrentCaller, shared: Shared) -> ModelList:
    """List the provider's models."""
    return ModelList(data=await shared.models())


@router.get("/{model:path}")
async def get_model(model: str, _caller: CurrentCaller, shared: Shared) -> ModelCard:
    """Describe one model."""
    for card in await shared.models():
        if card.id == model:
            return card
    message = f"The model `{model}` does not exist or you do not have access to it."
    raise NotFound(message, param="model", code="model_not_found")
