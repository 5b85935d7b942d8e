"""What the simulated model says: words without sense, or the least that fits what is asked for."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from app.errors import InvalidRequest
from app.resources.models import wire
from app.resources.models.interface import ChatRequest
from app.resources.models.schema import Schema, instance
from app.resources.models.wire import Json

TEXT = (
    "the a one some quiet bright early model answer token queue worker lease loop request river "
    "garden window letter stone runs waits holds opens returns follows under with"
)
WORDS = TEXT.split()
DEFAULT_LENGTH = 32
"""Tokens of an answer where the caller sets no limit. Where there is one, it is used up."""

LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the caller's tools."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Script:
    """What every choice of an answer is made of: a call, a fixed text, or chance."""

    call: Call | None
    text: str | None
    length: int | None
    stops: list[str]


def script(request: ChatRequest) -> Script:
    """Return what to say. Raise `InvalidRequest` for tools or formats that nothing fits."""
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    length = request.max_completion_tokens or request.max_tokens
    try:
        return Script(_call(request), _text(request), length, [stop for stop in stops if stop])
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        message = "`tools`, `tool_choice` and `response_format` do not fit OpenAI's format."
        raise InvalidRequest(message) from error


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
        entry = {"token": token, "logprob": -self._chance.random(), "bytes": list(token.encode())}
        return {"content": [{**entry, "top_logprobs": [entry] * min(top, 1)}]}

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
    choice = getattr(request, "tool_choice", None)
    functions = {tool["function"]["name"]: tool["function"] for tool in request.tools or []}
    if isinstance(choice, dict):
        name = choice["function"]["name"]
    elif choice == "required":
        name = next(iter(functions), None)
    else:
        return None
    if name not in functions:
        raise InvalidRequest("`tool_choice` asks for a tool that is not there.", param="tools")
    return Call(name, _filled(functions[name].get("parameters", {})))


def _text(request: ChatRequest) -> str | None:
    form = request.response_format or {}
    if form.get("type") == "json_schema":
        return _filled(form["json_schema"]["schema"])
    return '{"answer": "yes"}' if form.get("type") == "json_object" else None


def _filled(schema: Schema) -> str:
    return wire.encode(instance(schema)).decode()


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
