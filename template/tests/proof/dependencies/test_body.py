"""Bodies that contain themselves: how they are described, and filled by a simulated model."""

import json
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field

from app.dependencies.body import describe_body
from engine.models.schema import instance


class Leaf(BaseModel):
    kind: Literal["leaf"]
    size: int


class Tree(BaseModel):
    kind: Literal["tree"]
    children: list[Annotated["Tree | Leaf", Field(discriminator="kind")]]


class Link(BaseModel):
    value: int
    next: "Link | None"


class Question(BaseModel):
    text: str
    answer: "Answer"


class Answer(BaseModel):
    followed_by: list[Question]


class Pointer(BaseModel):
    reference: str = Field(alias="$ref")
    values: dict[str, Any]


RECURSIVE = [Tree, Link, Question, Answer]


@pytest.mark.parametrize("model", [*RECURSIVE, Pointer])
def test_a_body_that_contains_itself_is_described(model: type[BaseModel]) -> None:
    app = FastAPI()

    @app.post("/", openapi_extra=describe_body(model))
    async def _answer() -> None: ...

    described = app.openapi()["paths"]["/"]["post"]["requestBody"]["content"]["application/json"]
    fields = {field.alias or name for name, field in model.model_fields.items()}
    assert set(described["schema"]["properties"]) == fields
    assert '"$ref": "#' not in json.dumps(described)


@pytest.mark.parametrize("model", RECURSIVE)
def test_a_made_up_answer_to_a_schema_that_contains_itself_ends(model: type[BaseModel]) -> None:
    made_up = instance(model.model_json_schema())
    assert model.model_validate(made_up).model_dump() == made_up
