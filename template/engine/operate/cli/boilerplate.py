"""The modules that `app new` writes, as templates of `string.Template`."""

TASK = '''"""$title: a function with a prompt and a typed result."""

from pydantic import BaseModel, Field, ValidationError

from engine.errors import ModelUnavailable
from engine.models.interface import Answer, ChatRequest, Message
from engine.operations.bound_model import BoundModel
from engine.operations.operation import Operation

PROMPT = "Answer with JSON: an answer in one sentence."


class ${kind}Request(BaseModel):
    """The request of a caller."""

    text: str = Field(min_length=1, max_length=4000)


class ${kind}(BaseModel):
    """The answer to a caller."""

    answer: str


async def $name(model: BoundModel, request: ${kind}Request) -> Answer:
    """Return a `$kind` as JSON. Raise `ModelUnavailable` when the model does not give one."""
    schema = $kind.model_json_schema()
    answer = await model.complete(
        ChatRequest(
            model=await model.default(),
            messages=[
                Message(role="system", content=PROMPT),
                Message(role="user", content=request.text),
            ],
            max_tokens=120,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "$name", "schema": schema},
            },
        )
    )
    try:
        result = $kind.model_validate_json(answer.text)
    except ValidationError as error:
        raise ModelUnavailable("The model's answer is incomplete. Try again.") from error
    return Answer(result.model_dump_json().encode(), answer.usage)


$constant = Operation("/v1/$path", ${kind}Request, $name)
'''
ENDPOINT = '''"""POST /v1/$path."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api.answering import answer_whole
from app.dependencies.body import describe_body, json_body
from app.dependencies.model import CallersModel
from app.features.$name.task import $constant, $kind, ${kind}Request

router = APIRouter(prefix="/v1", tags=["features"])

${kind}Body = Annotated[${kind}Request, Depends(json_body(${kind}Request))]


@router.post(
    "/$path", openapi_extra=describe_body(${kind}Request), responses={200: {"model": $kind}}
)
async def answer_$name(request: ${kind}Body, model: CallersModel) -> Response:
    """Answer one request now. For many, send a batch of lines with the URL /v1/$path."""
    return await answer_whole(model, $constant, request)
'''
FEATURE_TEST = '''"""POST /v1/$path."""

from app.features.$name.task import $kind
from tests.service import Service


def test_${name}_answers_with_its_type(live: Service) -> None:
    with live.http(live.new_key()) as client:
        answer = client.post("/v1/$path", json={"text": "Hello"})
    assert answer.status_code == 200, answer.text
    assert $kind.model_validate_json(answer.content).answer
'''
JOB = '''"""A long job: $title."""

from pydantic import BaseModel, Field

from engine.jobs.jobs import Job
from engine.jobs.runs import Run
from engine.models.interface import ChatRequest, Message


class ${kind}Subject(BaseModel):
    """The subject of a job."""

    texts: list[str] = Field(min_length=1, max_length=1000)


class ${kind}Result(BaseModel):
    """The answers, one for each text."""

    answers: list[str]


async def $name(run: Run, subject: ${kind}Subject) -> ${kind}Result:
    """Ask the model about each text, going on where an earlier attempt has stopped."""
    answers: list[str] = (run.progress or {"answers": []})["answers"]
    for text in subject.texts[len(answers) :]:
        message = Message(role="user", content=text)
        request = ChatRequest(model=await run.model.default(), messages=[message], max_tokens=100)
        answers.append((await run.model.complete(request)).text)
        await run.report(answers=answers)
    return ${kind}Result(answers=answers)


${constant}_JOB = Job("$name", ${kind}Subject, $name)
'''
JOB_TEST = '''"""The job $name."""

from tests.service import Service, eventually


def test_${name}_answers_each_text(live: Service) -> None:
    with live.http(live.new_key()) as client:
        new = {"name": "$name", "subject": {"texts": ["One", "Two"]}}
        job = client.post("/v1/jobs", json=new).json()
        eventually(lambda: client.get(f"/v1/jobs/{job['id']}").status_code == 200)
        result = client.get(f"/v1/jobs/{job['id']}").json()["result"]
    assert len(result["answers"]) == 2
'''
AGENT = '''"""An agent: $title. Callers ask for it as the model `$path`."""

from pydantic import BaseModel

from engine.agents.agent import Agent

INSTRUCTIONS = "Answer in one sentence. Never count letters yourself: ask your tool."


class Letters(BaseModel):
    """The result of the tool, which the model reads as JSON."""

    letters: int


async def count_letters(text: str) -> Letters:
    """Count the letters of a text."""
    # The model reads the name, the types and the line above; what it asks for is checked first.
    # A killed worker may repeat a call: a tool with an effect takes `call: ToolCall`, and hands
    # `call.key` on as idempotency key. It answers only with what is `call.caller_id`'s.
    return Letters(letters=sum(sign.isalpha() for sign in text))


# `tool(count_letters, approval=True)` would ask a human before each call.
${constant}_AGENT = Agent("$path", instructions=INSTRUCTIONS, tools=[count_letters])
'''
AGENT_TEST = '''"""The agent $path."""

from tests.service import Service


def test_${name}_asks_its_tool(live: Service) -> None:
    with live.client(live.new_key()) as client:
        response = client.responses.create(model="$path", input="How many letters has Hello?")
    (call,) = [item for item in response.output if item.type == "mcp_call"]
    assert (call.name, call.status) == ("count_letters", "completed")
    assert response.output_text
'''
TABLE = '''"""The table $name."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.features.tables import Base


class ${kind}Row(Base):
    """One row, of one caller."""

    __tablename__ = "$name"

    id: Mapped[int] = mapped_column(primary_key=True)
    caller_id: Mapped[str] = mapped_column(String(40), index=True)
    text: Mapped[str]
'''
TABLE_TEST = '''"""The table $name."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.features.$name.table import ${kind}Row
from tests.service import Service


def add(session: Session) -> None:
    session.add(${kind}Row(caller_id="caller_a", text="Hello"))


def texts(session: Session) -> list[str]:
    return list(session.scalars(select(${kind}Row.text).where(${kind}Row.caller_id == "caller_a")))


def test_a_row_of_${name}_is_kept(live: Service) -> None:
    live.in_database(add)
    assert live.in_database(texts) == ["Hello"]
'''
