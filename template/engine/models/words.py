"""The simulated model's text: words without sense, or the least that fits the asked-for format."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from engine.errors import InvalidRequest
from engine.models import wire
from engine.models.interface import ChatRequest, Message
from engine.models.schema import Schema, asked_for, instance
from engine.models.wire import Json

T = TypeVar("T")

TEXT = (
    "the a one some quiet bright early model answer token queue worker lease loop request river "
    "garden window letter stone runs waits holds opens returns follows under with"
)
WORDS = TEXT.split()
DEFAULT_LENGTH = 32
"""Tokens of an answer where the caller sets no limit. Where there is one, it is used up."""

LONGEST = 4096
ANSWERING = ("assistant", "tool", "function")
"""Roles of messages that ask for nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the caller's tools."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Script:
    """The plan for every choice of an answer: a call, a fixed text, or chance."""

    call: Call | None
    text: str | None
    length: int | None
    stops: list[str]


def script(request: ChatRequest) -> Script:
    """Return the plan. Raise `InvalidRequest` for tools or formats that nothing fits."""
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    length = request.max_completion_tokens or request.max_tokens
    return Script(
        _made(_call, request, "tools"),
        _made(_text, request, "response_format"),
        length,
        [stop for stop in stops if stop],
    )


def _made(make: Callable[[ChatRequest], T], request: ChatRequest, field: str) -> T:
    try:
        return make(request)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        raise InvalidRequest(f"'{field}' does not fit OpenAI's format.", param=field) from error


class Words:
    """The deltas of one choice, and why they end."""

    def __init__(self, plan: Script, chance: random.Random) -> None:
        self._plan = plan
        self._chance = chance
        self.finish = "stop"

    def deltas(self) -> Iterator[tuple[Json, str]]:
        """Yield each delta and its text."""
        if self._plan.call:
            self.finish = "tool_calls"
            yield from _call_deltas(self._plan.call, self._chance)
        else:
            for token in self._tokens():
                yield {"content": token}, token

    def logprobs(self, token: str, top: int) -> Json:
        """Return made-up log probabilities of a token."""
        likely = -self._chance.random()
        entry, *others = (
            {"token": word, "logprob": likely - at, "bytes": list(word.encode())}
            for at, word in enumerate((token, *WORDS[:top]))
        )
        return {"content": [{**entry, "top_logprobs": [entry, *others][:top]}], "refusal": None}

    def _tokens(self) -> list[str]:
        plan = self._plan
        if plan.text is None:
            tokens = [self._word(at) for at in range(min(plan.length or DEFAULT_LENGTH, LONGEST))]
            ended = plan.length is None
        else:
            pieces = _pieces(plan.text)
            tokens = pieces[: plan.length]
            ended = tokens == pieces
        kept = _before(plan.stops, tokens)
        self.finish = "stop" if ended or kept != tokens else "length"
        return kept

    def _word(self, position: int) -> str:
        return (" " if position else "") + self._chance.choice(WORDS)


def _call(request: ChatRequest) -> Call | None:
    """Return the call that is asked for, or that is due."""
    choice = request.tool_choice
    functions = {tool.function.name: tool.function for tool in request.tools or [] if tool.function}
    if len(functions) < len(request.tools or []):
        raise wire.unsupported("tools")
    if isinstance(choice, dict):
        name: str | None = choice.get("function", {}).get("name")
    elif choice == "required":
        name = next(iter(functions), None)
    elif choice not in (None, "auto", "none"):
        raise InvalidRequest("Invalid value for 'tool_choice'.", param="tool_choice")
    elif choice == "none" or (name := _due(request.messages, list(functions))) is None:
        return None
    if name not in functions:
        raise InvalidRequest(
            "`tool_choice` asks for a tool that is not there.", param="tool_choice"
        )
    return Call(name, _filled(functions[name].parameters))


def _due(messages: list[Message], functions: list[str]) -> str | None:
    """Return the next tool of those that the last question names, of none the first one, once."""
    asked = max((at for at, each in enumerate(messages) if each.role not in ANSWERING), default=0)
    words = re.findall(r"[\w-]+", _said(messages[asked : asked + 1]))
    named = [word for word in dict.fromkeys(words) if word in functions] or functions[:1]
    called = sum(each.role in ("tool", "function") for each in messages[asked:])
    return named[called] if called < len(named) else None


def _text(request: ChatRequest) -> str | None:
    form = request.response_format
    if form is None or form.type == "text":
        return None
    if form.type == "json_schema" and form.json_schema:
        return _filled(form.json_schema["schema"])
    if form.type != "json_object":
        raise InvalidRequest("Invalid value for 'response_format'.", param="response_format")
    if schema := (form.model_extra or {}).get("schema"):  # as llama.cpp has it
        return _filled(schema)
    asking = [message for message in request.messages if message.role not in ANSWERING]
    return wire.encode_json(asked_for(_said(asking))).decode()


def _said(messages: list[Message]) -> str:
    """Return all that stands in messages as text."""
    return "\n".join(text for message in messages for text in _texts(message.content))


def _texts(content: str | list[Json] | None) -> list[str]:
    if isinstance(content, list):
        return [str(part.get("text", "")) for part in content]
    return [content or ""]


def _filled(schema: Schema) -> str:
    return wire.encode_json(instance(schema)).decode()


def _call_deltas(call: Call, chance: random.Random) -> Iterator[tuple[Json, str]]:
    head = {"name": call.name, "arguments": ""}
    name = f"call_{chance.getrandbits(64):016x}"
    yield {"tool_calls": [{"index": 0, "id": name, "type": "function", "function": head}]}, ""
    for piece in _pieces(call.arguments):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, piece


def _pieces(text: str) -> list[str]:
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def _before(stops: list[str], tokens: list[str]) -> list[str]:
    """Return the tokens before the first stop, of which nothing is shown."""
    text = "".join(tokens)
    rest = min((text.find(stop) for stop in stops if stop in text), default=len(text))
    kept = []
    for token in tokens:
        if rest <= 0:
            break
        kept.append(token[:rest])
        rest -= len(token)
    return kept
