"""Odd answers of model servers, each seen at one of them, and the result that each must have."""

import json
from dataclasses import dataclass, field
from typing import Literal

BatchEnd = Literal["succeeded", "failed", "pending"]
MESSAGE = {"role": "assistant", "content": "Hi"}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
GOOD = {"id": "1", "object": "chat.completion", "choices": [CHOICE], "usage": USAGE}
GUESSED = -1
"""A count that the server does not tell, and that the tokenizer finds instead."""

BASE_URL, API_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"


@dataclass(frozen=True)
class Odd:
    """A whole answer, and what its caller and a batch get."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    expected: int = 200
    says: str = "Hi"
    """The text of a good answer, or a part of the error's message."""
    batch: BatchEnd = "succeeded"
    code: str | None = None
    usage: tuple[int, int] = (2, 3)


@dataclass(frozen=True)
class OddStream:
    """A streamed answer in pieces, and what its caller gets: `text`, then `[DONE]` or an error."""

    pieces: tuple[bytes, ...]
    text: str = "Hi"
    error: str | None = None
    status: int = 200
    usage: tuple[int, int] | None = (2, 3)


def good(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def counted(prompt: object, completion: object) -> bytes:
    return good(usage={"prompt_tokens": prompt, "completion_tokens": completion})


def saying(content: object) -> bytes:
    return good(choices=[{**CHOICE, "message": {**MESSAGE, "content": content}}])


def said(value: object) -> bytes:
    return json.dumps(value).encode()


def refused(
    status: int, body: object, expected: int, says: str, batch: BatchEnd = "failed", **more: object
) -> Odd:
    """Return a refusal: one that a batch may try again is `pending`."""
    raw = body if isinstance(body, bytes) else said(body)
    return Odd(raw, status, expected=expected, says=says, batch=batch, **more)  # type: ignore[arg-type]


def unreadable(body: bytes, status: int = 200) -> Odd:
    return Odd(body, status, expected=503, says=BASE_URL, batch="pending")


UNKNOWN = {"usage": (GUESSED, GUESSED)}
SPENT = {"message": "You exceeded your quota", "type": "insufficient_quota"}

WHOLE: dict[str, Odd] = {
    # The answer itself: read strictly, and relayed as it is.
    "good": Odd(good()),
    "indented": Odd(json.dumps(GOOD, indent=2).encode()),
    "indented with CRLF": Odd(json.dumps(GOOD, indent=2).replace("\n", "\r\n").encode()),
    "ends with a line break": Odd(good() + b"\n"),
    "raw line separators": Odd(
        json.dumps({**GOOD, "x": "\u2028\u2029\x85"}, ensure_ascii=False).encode()
    ),
    "raw line separators in its text": Odd(
        saying("a?b").replace(b"?", "\u2028".encode()), says="a\u2028b"
    ),
    "letters beyond ASCII": Odd(json.dumps(GOOD).replace("Hi", "Grüße").encode(), says="Grüße"),
    "half of a character": Odd(saying("Hi \ud83d"), says="Hi \ufffd"),
    "an escaped backslash before a u": Odd(saying("\\ud83d"), says="\\ud83d"),
    "NUL in its text": Odd(saying("a\0b"), says="a\0b"),
    "byte order mark": Odd(b"\xef\xbb\xbf" + good()),
    "fields of tomorrow": Odd(good(of_tomorrow=[{"x": 1.10}])),
    "a number beyond every type": Odd(good(x=0).replace(b'"x": 0', b'"x": 1e999')),
    "no content": Odd(saying(None), says="None"),
    "null error": Odd(good(error=None)),
    "empty error": Odd(good(error={})),
    "empty": unreadable(b""),
    "white space": unreadable(b" \n"),
    "204": unreadable(b"", 204),
    "HTML": unreadable(b"<html><body>It works!</body></html>"),
    "half": unreadable(good()[:-9]),
    "two": unreadable(good() + b"\n" + good()),
    "NaN": unreadable(good(x=float("nan"))),
    "Infinity": unreadable(good(x=float("inf"))),
    "no UTF-8": unreadable(good().replace(b"Hi", b"H\xff")),
    "surrogates in UTF-8": unreadable(good().replace(b"Hi", b"H\xed\xa0\x80")),
    "UTF-16": unreadable(json.dumps(GOOD).encode("utf-16")),
    "a raw control character": unreadable(good().replace(b"Hi", b"H\x01")),
    "nested without end": unreadable(b"[" * 100_000),
    "a list": unreadable(b"[1]"),
    "a string": unreadable(b'"Hi"'),
    "no choices": unreadable(b'{"object": "chat.completion"}'),
    "empty choices": unreadable(good(choices=[])),
    "null choices": unreadable(good(choices=None)),
    "choices that are none": unreadable(good(choices=["Hi"])),
    # What stands beside it: read leniently.
    "no usage": Odd(said({"choices": [CHOICE]}), **UNKNOWN),  # type: ignore[arg-type]
    "null usage": Odd(good(usage=None), **UNKNOWN),  # type: ignore[arg-type]
    "a usage that is a text": Odd(good(usage="few"), **UNKNOWN),  # type: ignore[arg-type]
    "empty usage": Odd(good(usage={}), **UNKNOWN),  # type: ignore[arg-type]
    "null count": Odd(counted(2, None), usage=(2, GUESSED)),
    "null prompt": Odd(counted(None, 3), usage=(GUESSED, 3)),
    "whole float": Odd(counted(2, 10.0), usage=(2, 10)),
    "broken float": Odd(counted(2, 10.5), usage=(2, GUESSED)),
    "count in a text": Odd(counted("2", "3"), **UNKNOWN),  # type: ignore[arg-type]
    "true": Odd(counted(2, True), usage=(2, GUESSED)),
    "negative": Odd(counted(-2, -3), usage=(0, 0)),
    "beyond 32 bits": Odd(counted(2, 2**31), usage=(2, GUESSED)),
    "beyond 63 bits": Odd(counted(2**63, 3), usage=(GUESSED, 3)),
    "beyond 64 bits": Odd(counted(10**30, 3), usage=(GUESSED, 3)),
    "beyond a float": Odd(counted(2, 0).replace(b": 0}", b": 1e999}"), usage=(2, GUESSED)),
    # Errors whose status is a good one.
    "error within": refused(200, {"error": {"message": "spilled"}}, 503, "spilled", "pending"),
    "error text within": refused(200, {"error": "spilled"}, 503, "spilled", "pending"),
    "vLLM's error within": refused(
        200, {"object": "error", "message": "too long", "code": 400}, 400, "too long"
    ),
    "status within": refused(
        200, {"error": {"message": "busy", "code": 429}}, 429, "busy", "pending"
    ),
    "rate limit within": refused(
        200, {"error": {"message": "busy", "type": "rate_limit_error"}}, 429, "busy", "pending"
    ),
    "rejected within": refused(
        200, {"error": {"message": "no", "type": "invalid_request_error"}}, 400, "no"
    ),
    "spent within": refused(200, {"error": {**SPENT, "code": SPENT["type"]}}, 502, API_KEY),
    "error beside choices": refused(
        200, {**GOOD, "error": {"message": "filtered"}}, 503, "filtered", "pending"
    ),
    # Envelopes of errors.
    "OpenAI": refused(400, {"error": {"message": "no", "code": "c"}}, 400, "no", code="c"),
    "object error": refused(
        400, {"object": "error", "message": "no", "code": 400}, 400, "no", code="400"
    ),
    "detail": refused(400, {"detail": "no"}, 400, "no"),
    "details of FastAPI": refused(
        422, {"detail": [{"loc": ["body", "x"], "msg": "no", "type": "t"}]}, 422, "no"
    ),
    "detail with an error": refused(400, {"detail": {"error": {"message": "no"}}}, 400, "no"),
    "message": refused(400, {"message": "no"}, 400, "no"),
    "messages": refused(400, {"error": "Bad Request", "message": ["no"]}, 400, "no"),
    "Google": refused(400, [{"error": {"code": 400, "message": "no"}}], 400, "no"),
    "Anthropic": refused(
        400,
        {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
        400,
        "no",
    ),
    "problem": refused(400, {"title": "Bad", "detail": "no"}, 400, "no"),
    "errors": refused(400, {"success": False, "errors": [{"code": 7, "message": "no"}]}, 400, "no"),
    "flag": refused(400, {"error": True, "message": "no"}, 400, "no"),
    "JSON text": refused(400, "no", 400, "no"),
    "text": refused(400, b"no\n", 400, "no"),
    "HTML page": refused(400, b"<html><h1>No</h1>\n<p>way</p>", 400, "No way"),
    "unknown envelope": refused(400, {"reasons": 7}, 400, '{"reasons": 7}'),
    "empty refusal": refused(400, b"", 400, "gave no reason"),
    "empty object": refused(400, {}, 400, "gave no reason"),
    "Latin-1": refused(400, "né".encode("latin-1"), 400, "n\ufffd"),
    "long code": refused(400, {"error": {"message": "no", "code": "c" * 101}}, 400, "no"),
    "NUL in a code": refused(
        400, {"error": {"message": "n\0o", "code": "c\0"}}, 400, "no", code="c"
    ),
    "half a character": refused(400, {"error": {"message": "no \ud83d"}}, 400, "no ?"),
    "code that is an object": refused(
        400, {"error": {"message": "no", "code": {"x": 1}}}, 400, "no", code="model_rejected"
    ),
    "megabytes": refused(400, {"error": {"message": "no" * 2**20}}, 400, "nonono"),
    "error nested without end": refused(400, b"[" * 100_000, 400, "[[["),
    # Whose fault it is.
    "401": refused(401, {"error": {"message": "Incorrect sk-1"}}, 502, API_KEY),
    "402": refused(402, {"error": {"message": "Insufficient Balance"}}, 502, API_KEY),
    "403": refused(403, b"", 502, API_KEY),
    "404 of FastAPI": refused(404, {"detail": "Not Found"}, 502, BASE_URL),
    "404 of OpenAI": refused(
        404, {"error": {"message": "Invalid URL (POST /chat/completions)"}}, 502, BASE_URL
    ),
    "404 that lists paths": refused(404, {"error": "There is /v1/models"}, 502, BASE_URL),
    "404 of nginx": refused(404, b"<html><h1>404 Not Found</h1></html>", 502, BASE_URL),
    "404 of a model": refused(404, {"error": 'model "m" not found'}, 404, 'model "m"'),
    "404 of a file": refused(
        404, {"error": {"message": "No such file", "code": "no_file"}}, 404, "No such file"
    ),
    "405": refused(405, {"detail": "Method Not Allowed"}, 502, BASE_URL),
    "408": refused(408, {"error": {"message": "slow"}}, 503, "slow", "pending"),
    "409": refused(409, {"error": {"message": "again"}}, 409, "again"),
    "413": refused(413, {"error": {"message": "large"}}, 413, "large"),
    "422": refused(422, {"error": {"message": "odd"}}, 422, "odd"),
    "429": refused(429, {"error": {"message": "busy"}}, 429, "busy", "pending"),
    "429 of an empty account": refused(
        429, {"error": {**SPENT, "code": "insufficient_quota"}}, 502, API_KEY
    ),
    "429 of an old empty account": refused(429, {"error": {**SPENT, "code": None}}, 502, API_KEY),
    "500": refused(500, {"error": {"message": "bug"}}, 503, "bug", "pending"),
    "501": refused(501, {"error": {"message": "no embeddings"}}, 502, "no embeddings"),
    "503 in HTML": refused(503, b"<h1>Maintenance</h1>", 503, "Maintenance", "pending"),
    "529": refused(529, {"error": {"message": "busy"}}, 429, "busy", "pending"),
    "301": refused(301, b"", 502, "https://there/v1", headers={"location": "https://there/v1"}),
    "308": refused(308, b"", 502, BASE_URL, headers={"location": "/v1/"}),
    "302 to nowhere": refused(302, b"", 502, BASE_URL),
}


def event(content: str | None = None, finish: str | None = None, **more: object) -> bytes:
    delta = {} if content is None else {"content": content}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + said({"choices": choices, **more}) + b"\n\n"


def used(prompt: object, completion: object) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return b"data: " + said({"choices": [], "usage": counts}) + b"\n\n"


DONE = b"data: [DONE]\n\n"
HI, STOP, COUNTS = event("Hi"), event(finish="stop"), used(2, 3)
WIRE = HI + STOP + COUNTS + DONE
FAILED = b'data: {"error": {"message": "spilled"}}\n\n'

STREAMED: dict[str, OddStream] = {
    "good": OddStream((HI, STOP, COUNTS, DONE)),
    "all at once": OddStream((WIRE,)),
    "byte by byte": OddStream(tuple(WIRE[at : at + 1] for at in range(len(WIRE)))),
    "without [DONE]": OddStream((HI, STOP, COUNTS)),
    "without the last empty line": OddStream((HI, STOP, COUNTS, DONE[:-2])),
    "without [DONE] and the last empty line": OddStream((HI, STOP[:-2]), usage=(GUESSED, 2)),
    "without [DONE] and half of the last empty line": OddStream(
        (HI, STOP[:-1]), usage=(GUESSED, 2)
    ),
    "without a reason": OddStream((HI,), error="broke off"),
    "half of an event": OddStream((HI, STOP[:20]), error=BASE_URL),
    "[DONE] without a reason": OddStream((HI, COUNTS, DONE)),
    "byte order mark": OddStream((b"\xef\xbb\xbf" + WIRE,)),
    "half of a byte order mark": OddStream((b"\xef", b"\xbb\xbf" + WIRE)),
    "CRLF": OddStream((WIRE.replace(b"\n", b"\r\n"),)),
    "CRLF in halves": OddStream(tuple(WIRE.replace(b"\n", b"\r\n").partition(b"\r"))),
    "bare CR": OddStream((WIRE.replace(b"\n", b"\r"),)),
    "bare CR byte by byte": OddStream(
        tuple(WIRE.replace(b"\n", b"\r")[at : at + 1] for at in range(len(WIRE)))
    ),
    "CRLF byte by byte": OddStream(
        tuple(WIRE.replace(b"\n", b"\r\n")[at : at + 1] for at in range(len(WIRE) + 8))
    ),
    "comments": OddStream((b": ping\n\n", HI, b":\n\n", STOP, COUNTS, DONE)),
    "a comment at the end": OddStream((HI, STOP, COUNTS, b": bye")),
    "no space after the colon": OddStream((WIRE.replace(b"data: ", b"data:"),)),
    "ids and names": OddStream((b"id: 1\nevent: message\n" + HI, STOP, COUNTS, DONE)),
    "an event in several lines": OddStream((HI.replace(b', "', b',\ndata: "'), STOP, COUNTS, DONE)),
    "empty lines between": OddStream((b"\n\n\n" + HI + b"\n\n", STOP, COUNTS, DONE)),
    "null usage in each chunk": OddStream(
        (event("Hi", usage=None), event(finish="stop", usage=None), COUNTS, DONE)
    ),
    "null choices beside the usage": OddStream((HI, STOP, COUNTS.replace(b"[]", b"null"), DONE)),
    "usage in each chunk": OddStream(
        (event("Hi", usage={"prompt_tokens": 2, "completion_tokens": 1}), STOP, COUNTS, DONE)
    ),
    "no usage": OddStream((HI, STOP, DONE), usage=(GUESSED, 2)),
    "null count": OddStream((HI, STOP, used(2, None), DONE), usage=(2, 2)),
    "whole float": OddStream((HI, STOP, used(2.0, 3.0), DONE)),
    "negative count": OddStream((HI, STOP, used(-2, -3), DONE), usage=(0, 0)),
    "huge count": OddStream((HI, STOP, used(2, 10**30), DONE), usage=(2, 2)),
    "half of a character": OddStream((event("Hi \ud83d"), STOP, COUNTS, DONE), text="Hi \ufffd"),
    "no UTF-8": OddStream((HI, HI.replace(b"Hi", b"\xff")), error=BASE_URL),
    "NaN": OddStream((HI, event("", x=float("nan"))), error=BASE_URL),
    "an error after the first word": OddStream((HI, FAILED, DONE), error="spilled"),
    "an error in the same write": OddStream((HI + FAILED,), error="spilled"),
    "vLLM's error after the first word": OddStream(
        (HI, b'data: {"object": "error", "message": "spilled", "code": 400}\n\n'), error="spilled"
    ),
    "an error at once": OddStream((FAILED,), status=503, error="spilled"),
    "nothing": OddStream((), status=503, error=BASE_URL),
    "[DONE] alone": OddStream((DONE,), status=503, error=BASE_URL),
    "usage alone": OddStream((COUNTS, DONE), status=503, error=BASE_URL),
    "a page": OddStream((b"<html>It works!</html>",), status=503, error=BASE_URL),
    "a whole answer": OddStream((good(),), status=503, error="does not stream"),
    "an indented error": OddStream(
        (json.dumps({"error": {"message": "no", "code": 400}}, indent=2).encode(),),
        status=400,
        error="no",
    ),
}
