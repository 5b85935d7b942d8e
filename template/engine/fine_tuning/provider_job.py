"""A provider's job and its events, of which nothing is believed unread."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from engine.body import NO_NUL
from engine.errors import ModelError, readable_error

M = TypeVar("M", bound=BaseModel)

OPEN = ("validating_files", "queued", "running", "paused")
KEPT_ANSWER, KEPT_DATA, LONGEST_NAME = 16_384, 4_096, 200
"""Most bytes of an answer and of an event's data that are kept; most characters of a name."""

Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=NO_NUL)]
Moment = Annotated[int, Field(ge=0, lt=2**40)]
Action: TypeAlias = Literal["cancel", "pause", "resume"]


def _text(said: object) -> object:
    return readable_error(said, 2000) if isinstance(said, str) else said


Text = Annotated[str, BeforeValidator(_text)]


class UnreadableAnswer(ModelError):
    """The provider has done something, and says it in a way that cannot be read."""


class ProviderError(BaseModel):
    """The provider's reason for a failure."""

    code: Text | None = None
    message: Text = "The provider gave no reason."
    param: Text | None = None


class ProviderJob(BaseModel):
    """A job as the provider tells it."""

    id: Name
    status: str
    created_at: float = 0.0
    training_file: str | None = None
    metadata: dict[str, Any] | None = None
    fine_tuned_model: Name | None = None
    error: ProviderError | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    trained_tokens: int | None = Field(default=None, ge=0, lt=2**63)
    estimated_finish: Moment | None = None
    hyperparameters: dict[str, Any] | None = None
    method: dict[str, Any] | None = None

    def kept(self) -> bytes:
        """Return what our job shows of it, without what is too long."""
        shown = {"seed", "trained_tokens", "estimated_finish"}
        whole = self.model_dump_json(include={*shown, "hyperparameters", "method"}).encode()
        if len(whole) <= KEPT_ANSWER:
            return whole
        return self.model_dump_json(include=shown).encode()


class ProviderEvent(BaseModel):
    """An event of such a job."""

    id: Name
    created_at: Moment
    level: str = "info"
    type: str | None = None
    message: Text
    data: Any = None

    def kept_data(self) -> bytes | None:
        """Return its data as JSON; None for none, and for too much."""
        whole = msgspec.json.encode(self.data)
        return whole if self.data is not None and len(whole) <= KEPT_DATA else None


def read_answer(kind: type[M], answer: object) -> M:
    """Return a provider's object. Raise `UnreadableAnswer` for nonsense."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UnreadableAnswer(
            f"The trainer's answer has no good `{place}`: {first['msg']}."
        ) from error


def read_answers(kind: type[M], answers: Sequence[object]) -> list[M]:
    """Return the provider's objects, without the ones that are nonsense."""
    found = []
    for each in answers:
        try:
            found.append(kind.model_validate(each))
        except ValidationError:
            continue
    return found
