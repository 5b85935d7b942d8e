"""GET /v1/models: the models that a request may name."""

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.errors import failures
from app.dependencies.caller import CurrentCaller, Flags
from app.dependencies.model import callers_models
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
async def list_models(mine: Flags, caller: CurrentCaller, shared: Shared) -> ModelList:
    """List the agents that this caller may use, then the provider's models."""
    agents = [each for each in shared.agents.values() if each.flag is None or each.flag in mine]
    cards = [ModelCard(id=each.name) for each in agents]
    return ModelList(data=[*cards, *await callers_models(shared, caller)])


@router.get("/{model:path}")
async def get_model(model: str, mine: Flags, caller: CurrentCaller, shared: Shared) -> ModelCard:
    """Describe one model or agent."""
    for card in (await list_models(mine, caller, shared)).data:
        if card.id == model:
            return card
    message = f"The model `{model}` does not exist or you do not have access to it."
    raise NotFound(message, param="model", code="model_not_found")
