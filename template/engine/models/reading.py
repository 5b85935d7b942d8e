"""Parses answers of model servers, in one place: the answer strictly, fields beside it leniently.

Only clean values leave: valid JSON in valid UTF-8, and counts that a database can keep.
"""

import json
import re
from typing import Any, NoReturn, TypeVar

import msgspec

from engine.errors import ModelError, ModelUnavailable
from engine.models.interface import ModelCard
from engine.models.refusals import refusal_within

T = TypeVar("T", "Chat", "Embeddings", "Response", "ResponseEvent")

NOT_OPENAI = "The model server's answer is not in OpenAI's format: check OPENAI_BASE_URL."
NO_JSON = (ValueError, RecursionError, msgspec.MsgspecError)
"""Errors of bytes that are no JSON, or not this JSON. msgspec's are a ValueError from 0.21 on."""

BOM = b"\xef\xbb\xbf"
MOST_TOKENS = 2**31
"""No call costs as many: a larger count would make the sums of its caller overflow."""

BREAKS = {b"\n": b" ", b"\r": b" "} | {
    character.encode(): f"\\u{ord(character):04x}".encode() for character in "\x85\u2028\u2029"
}
"""Line breaks and their substitutes in JSON: the first two are never within its strings."""

ESCAPE = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.")
"""An escape in JSON. The group is half of a character: a server has cut its text there."""


class Choice(msgspec.Struct):
    """The fields that are read of a choice."""

    index: Any = 0
    finish_reason: Any = None


class Chat(msgspec.Struct):
    """The fields that are read of a chat's answer or chunk."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None


class Vector(msgspec.Struct):
    """An embedding, of which nothing is read."""


class Embeddings(msgspec.Struct):
    """The fields that are read of embeddings."""

    data: list[Vector] | None = None
    usage: Any = None
    error: Any = None


class Response(msgspec.Struct):
    """The fields that are read of a response."""

    status: Any = None
    usage: Any = None
    error: Any = None


class ResponseEvent(msgspec.Struct):
    """The fields that are read of an event of a response."""

    type: Any = None
    response: Response | None = None
    error: Any = None


CHAT = msgspec.json.Decoder(Chat)
EMBEDDINGS = msgspec.json.Decoder(Embeddings)
RESPONSE = msgspec.json.Decoder(Response)
RESPONSE_EVENT = msgspec.json.Decoder(ResponseEvent)
ENDS = ("completed", "incomplete")
"""The status of a response with an answer."""


def read_chat(body: bytes) -> tuple[bytes, Chat]:
    """Return a whole answer as clean JSON, and its fields. Raise `ModelError` where it is none."""
    body, fields = read_json(body, CHAT)
    return (body, fields) if fields.choices else _refuse(body)


def read_embeddings(body: bytes) -> tuple[bytes, Embeddings]:
    """Return embeddings as clean JSON, and their fields. Raise `ModelError` for none."""
    body, fields = read_json(body, EMBEDDINGS)
    return (body, fields) if fields.data else _refuse(body)


def read_response(body: bytes) -> tuple[bytes, Response]:
    """Return a whole response as clean JSON, and its fields. Raise `ModelError` for no answer."""
    body, fields = read_json(body, RESPONSE)
    return (body, fields) if fields.status in ENDS else _refuse(body)


def read_cards(body: bytes) -> list[ModelCard]:
    """Return a list of models with all their fields. Raise `ModelError` for no list."""
    try:
        said = _parse(body)
    except NO_JSON as error:
        raise ModelUnavailable(NOT_OPENAI) from error
    listed = said.get("data") if isinstance(said, dict) else said
    if not isinstance(listed, list):
        _refuse(body)
    found = [each for each in listed if isinstance(each, dict)]
    return [_card(each) for each in found if isinstance(each.get("id"), str)]


def read_json(data: bytes, decoder: msgspec.json.Decoder[T]) -> tuple[bytes, T]:
    """Return clean JSON and its fields. Raise `ModelError` for an error, or for no JSON at all."""
    try:
        fields = decode_answer(data, decoder)
    except NO_JSON:
        data, fields = _read_odd(data, decoder)
    if fields.error:
        raise refusal_within(data)
    return data, fields


def decode_answer(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the fields. Raise one of `NO_JSON` where it is no strict JSON."""
    if not data.isascii():
        data.decode()
    return decoder.decode(data)


def one_line(body: bytes) -> bytes:
    """Return an answer as one line of JSON. Raise `ModelError` where it is no JSON."""
    try:
        body.decode()
        msgspec.json.decode(body, type=msgspec.Raw)
    except NO_JSON as error:
        raise ModelError("The answer is no JSON.") from error
    for found, instead in BREAKS.items():
        body = body.replace(found, instead)
    return body


def token_counts(usage: object) -> tuple[int | None, int | None]:
    """Return the tokens of the prompt and of the answer, None for one that `usage` lacks."""
    said = usage if isinstance(usage, dict) else {}
    if "input_tokens" in said:  # a response's
        return _count(said["input_tokens"]), _count(said.get("output_tokens"))
    return _count(said.get("prompt_tokens")), _count(said.get("completion_tokens"))


def answer_text(body: bytes) -> str:
    """Return the text of a whole answer, so that its tokens can be counted."""
    messages = [each.get("message", each.get("text")) for each in _parse(body)["choices"]]
    contents = [each.get("content") if isinstance(each, dict) else each for each in messages]
    return "\n".join(each if isinstance(each, str) else json.dumps(messages) for each in contents)


def _read_odd(data: bytes, decoder: msgspec.json.Decoder[T]) -> tuple[bytes, T]:
    data = ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data.removeprefix(BOM))
    try:
        return data, msgspec.convert(_parse(data), decoder.type)
    except NO_JSON as error:
        raise ModelUnavailable(NOT_OPENAI) from error


def _parse(data: bytes) -> Any:  # noqa: ANN401 -- any JSON
    """Return JSON whose numbers may be larger than any that msgspec reads."""
    return json.loads(data.removeprefix(BOM).decode(), parse_constant=_no_json)


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _refuse(body: bytes) -> NoReturn:
    raise refusal_within(body) if is_error(body) else ModelUnavailable(NOT_OPENAI)


def is_error(body: bytes) -> bool:
    """Return whether JSON without an answer is an error, in an envelope of its own."""
    said = _parse(body)
    return isinstance(said, dict) and ("error" in (said.get("object"), said.get("type")))


def _card(said: dict[str, Any]) -> ModelCard:
    kinds = {"object": str, "created": int, "owned_by": str}
    odd = {name for name, kind in kinds.items() if not isinstance(said.get(name), kind)}
    return ModelCard(**{name: value for name, value in said.items() if name not in odd})


def _count(said: object) -> int | None:
    if isinstance(said, bool) or not isinstance(said, int | float) or said != said // 1:
        return None
    return int(max(said, 0)) if said < MOST_TOKENS else None
