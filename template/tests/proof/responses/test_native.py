"""Responses of a server that speaks them itself: asked without state, relayed with ours."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from engine.errors import (
    AppError,
    InvalidRequest,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    Unsupported,
)
from engine.models import openai
from engine.models.interface import NativeChunk, Usage
from engine.models.sse import ResponseEvents
from engine.models.upstreams import open_upstreams
from engine.operations.bound_model import BoundModel
from engine.process.http import open_upstream_session
from engine.process.tokenizer import Tokenizer
from engine.responses.answering import PendingResponse, answer_response, stream_response
from engine.responses.hosted_tools import refuse_hosted_tools
from engine.responses.native import Relay, native_body, response_chat
from engine.responses.schema import ResponseRequest, new_response
from engine.responses.transcript import Transcript
from engine.slots.pools import provider_pools
from engine.slots.redis_semaphore import Priority
from engine.sql.statements import new_id
from tests.proof.models.asking import settings
from tests.proof.responses.scripts import (
    BEGINNING,
    COMPLETED,
    HALF,
    MESSAGE,
    REASONING,
    REST,
    SCRIPT,
    WHOLE,
    Json,
    event,
    wire,
)
from tests.upstream import Handler, answering, serving, streaming

pytestmark = pytest.mark.anyio

CALLER = "caller_1"
CHAT = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "By chat"},
            "delta": {"role": "assistant", "content": "By chat"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 2, "completion_tokens": 3},
}
CHATS = streaming(b"data: " + json.dumps(CHAT).encode() + b"\n\n", b"data: [DONE]\n\n")
DOWN = answering(503, {"error": {"message": "down"}})
REQUEST = ResponseRequest(model="m", input="Hi")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Counter:
    """Counts calls, as the usage buffer does."""

    def __init__(self) -> None:
        self.counted: list[Usage] = []

    def count(self, _caller: str, _model: str, used: Usage) -> None:
        self.counted.append(used)

    def count_unfinished(self, _caller: str, _model: str, _body: object, generated: int) -> None:
        self.counted.append(Usage(0, generated))


@asynccontextmanager
async def model_of(
    tokenizer: Tokenizer,
    first: str,
    *,
    counter: Counter | None = None,
    **more: Any,  # noqa: ANN401
) -> AsyncIterator[BoundModel]:
    """Yield the model of a server that speaks Responses, unless the settings say otherwise."""
    values = {"openai_responses": "native", "model_retries": 0, **more}
    configured = settings(model_provider="openai", openai_base_url=first, **values)
    async with (
        open_upstream_session(configured) as session,
        open_upstreams(configured, Priority.ONLINE, session, None, tokenizer) as upstreams,
    ):
        resources = SimpleNamespace(
            tokenizer=tokenizer, usage=counter, settings=configured, model_owners=None
        )
        yield BoundModel(upstreams[Priority.ONLINE], cast("Any", resources), CALLER)


def pending(*history: Json, **fields: object) -> PendingResponse:
    request = ResponseRequest.model_validate({"model": "small", "input": "Hello", **fields})
    return PendingResponse(request, Transcript(list(history), request.items, []))


async def streamed(model: BoundModel, asked: PendingResponse | None = None) -> list[Json]:
    """Return the events, whose numbers have no gaps and whose names fit."""
    chunks = [each.events async for each in stream_response(model, asked or pending(stream=True))]
    blocks = b"".join(chunks).removesuffix(b"\n\n").split(b"\n\n")
    lines = [block.split(b"\n") for block in blocks]
    events = [json.loads(data.removeprefix(b"data: ")) for _, data in lines]
    assert [name.decode() for name, _ in lines] == [f"event: {each['type']}" for each in events]
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    return events


def types(events: list[Json]) -> list[str]:
    return [each["type"].removeprefix("response.") for each in events]


async def whole(model: BoundModel, asked: PendingResponse | None = None) -> Json:
    answer = await answer_response(model, asked or pending())
    found: Json = json.loads(answer.body)
    return found


def by_path(responses: Handler, chats: Handler = CHATS) -> Handler:
    """Return a handler with an answer for each path."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await (responses if request.path.endswith("/responses") else chats)(request)

    return handler


async def test_the_server_gets_the_whole_input_and_no_state(tokenizer: Tokenizer) -> None:
    ours: list[Json] = [
        {"type": "message", "id": "msg_ours", "role": "user", "content": "Before"},
        {"type": "reasoning", "id": "rs_ours", "summary": [{"type": "summary_text", "text": "s"}]},
        {"type": "function_call", "id": "fc_ours", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "id": "fco_ours", "call_id": "c", "output": "1"},
        {**MESSAGE, "id": "msg_ours2"},
        REASONING,
    ]
    asked = pending(
        *ours,
        previous_response_id="resp_ours",
        conversation="conv_ours",
        metadata={"secret": "resp_ours"},
        background=False,
        store=True,
        stream=True,
        prompt_cache_key="shared",
        include=["message.output_text.logprobs"],
        top_k=3,
    )
    async with (
        serving(streaming(wire(*SCRIPT))) as upstream,
        model_of(tokenizer, upstream.url) as model,
    ):
        await streamed(model, asked)
    (sent,) = upstream.bodies
    assert "ours" not in json.dumps(sent)
    assert CALLER not in json.dumps(sent)
    assert sent.keys() == {
        "include",
        "input",
        "model",
        "prompt_cache_key",
        "store",
        "stream",
        "top_k",
    }
    assert sent["store"] is False
    assert sent["include"] == ["message.output_text.logprobs", "reasoning.encrypted_content"]
    assert sent["top_k"] == 3
    roles = [each.get("role") or each["type"] for each in sent["input"]]
    calls = ["function_call", "function_call_output"]
    assert roles == ["user", *calls, "assistant", "reasoning", "user"]
    assert sent["input"][3]["content"] == "Hi Ü"
    assert sent["input"][4] == REASONING


def test_two_callers_have_no_prompt_cache_in_common() -> None:
    def key(caller: str, **fields: object) -> str:
        request = ResponseRequest.model_validate({"model": "m", "input": "Hi", **fields})
        return str(native_body(request, [], caller)["prompt_cache_key"])

    keys = {key(caller, prompt_cache_key=each) for caller in "ab" for each in ("x", "y", None)}
    assert len(keys) == 6
    assert key("a", prompt_cache_key="x") == key("a", prompt_cache_key="x")
    assert max(map(len, keys)) <= 64


async def test_events_are_relayed_between_our_own_first_and_last(tokenizer: Tokenizer) -> None:
    asked = pending(stream=True, metadata={"a": "b"}, prompt_cache_key="mine")
    async with (
        serving(streaming(wire(*SCRIPT))) as upstream,
        model_of(tokenizer, upstream.url) as model,
    ):
        chunks = [each.events async for each in stream_response(model, asked)]
    sent, got = wire(*SCRIPT), b"".join(chunks)
    middle = sent[sent.index(b"event: response.output_item") : sent.index(b"event: response.comp")]
    assert middle in got
    first, last = (json.loads(each) for each in (got.split(b"\n")[1][6:], got.split(b"\n")[-3][6:]))
    ours = "id", "created_at", "metadata", "store", "prompt_cache_key", "previous_response_id"
    assert [last["response"][each] for each in ours] == [first["response"][each] for each in ours]
    assert last["response"]["metadata"] == {"a": "b"}
    assert last["response"]["store"] is True
    assert last["response"]["prompt_cache_key"] == "mine"
    assert last["response"]["output"] == WHOLE["output"]
    assert last["response"]["of_tomorrow"] == 1
    assert b"resp_theirs" not in got


@pytest.mark.parametrize("first", [1, 7])
async def test_numbers_have_no_gap_whatever_the_server_counts(
    tokenizer: Tokenizer, first: int
) -> None:
    alive = wire({"type": "keepalive"}, *HALF, *REST, COMPLETED, first=first)
    async with (
        serving(streaming(wire(*BEGINNING), b": a comment\n\n", alive)) as upstream,
        model_of(tokenizer, upstream.url) as model,
    ):
        events = await streamed(model)
    assert types(events) == types(list(SCRIPT))


def test_a_stream_reads_the_same_wherever_the_network_cuts_it() -> None:
    sent = wire(*SCRIPT).replace(b"\n", b"\r\n")
    expected = read(sent)
    assert len(expected.splitlines()) == 3 * (len(SCRIPT) - 1)  # the last one is held back
    for at in range(len(sent)):
        assert read(sent[:at], sent[at:]) == expected
    assert read(*(bytes([each]) for each in sent)) == expected


def read(*pieces: bytes) -> bytes:
    events = ResponseEvents()
    relay = Relay({**new_response(REQUEST), "id": "resp_1", "created_at": 1})
    got = relay.begin()
    for piece in pieces:
        for block in events.feed(piece):
            got += relay.take(NativeChunk(block))
    assert list(events.end()) == []
    assert relay.response["output"] == WHOLE["output"]
    return got


async def test_a_whole_answer_has_our_id_and_the_servers_items(tokenizer: Tokenizer) -> None:
    counter = Counter()
    async with (
        serving(answering(200, {**WHOLE, "conversation": None})) as upstream,
        model_of(tokenizer, upstream.url, counter=counter) as model,
    ):
        found = await whole(model, pending(metadata={"a": "b"}, conversation="conv_1"))
    assert upstream.bodies[0]["stream"] is False
    assert found["id"] != WHOLE["id"]
    assert found["metadata"] == {"a": "b"}
    assert found["conversation"] == {"id": "conv_1"}
    assert found["output"] == WHOLE["output"]
    assert found["usage"]["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    assert counter.counted == [Usage(7, 5)]


async def test_an_answer_that_was_cut_off_stays_incomplete(tokenizer: Tokenizer) -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    last = event("incomplete", response={**WHOLE, **cut})
    async with (
        serving(streaming(wire(*BEGINNING, *HALF, *REST, last))) as upstream,
        model_of(tokenizer, upstream.url) as model,
    ):
        events = await streamed(model)
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == cut["incomplete_details"]


@pytest.mark.parametrize(
    ("usage", "counted"), [(WHOLE["usage"], Usage(7, 5)), (None, None), ({"odd": 1}, None)]
)
async def test_tokens_are_counted_also_where_the_server_tells_none(
    tokenizer: Tokenizer, usage: object, counted: Usage | None
) -> None:
    counter = Counter()
    last = event("completed", response={**WHOLE, "usage": usage})
    async with (
        serving(streaming(wire(*BEGINNING, *HALF, *REST, last))) as upstream,
        model_of(tokenizer, upstream.url, counter=counter) as model,
    ):
        events = await streamed(model)
    (used,) = counter.counted
    assert used == counted or (used.prompt_tokens > 1 and used.completion_tokens == 2)
    assert events[-1]["response"]["usage"]["output_tokens"] == used.completion_tokens


FAILED = event("failed", response={"error": {"code": "server_error", "message": "Oops"}})
LIMITED = event("error", code="rate_limit_exceeded", message="Slow down", param=None)
BAD_IMAGE = event(
    "failed", response={"error": {"code": "invalid_image_url", "message": "No image there"}}
)


@pytest.mark.parametrize(
    ("handler", "error", "message"),
    [
        (answering(404, {"detail": "Not Found"}), ModelError, "OPENAI_RESPONSES"),
        (answering(400, {"error": {"message": "Bad", "param": "input"}}), ModelRejected, "Bad"),
        (answering(200, CHAT), ModelUnavailable, "The model server"),
        (answering(200, {**WHOLE, "status": "queued"}), ModelUnavailable, "OpenAI's format"),
        (answering(200, {"error": {"message": "Down"}}), ModelUnavailable, "Down"),
        (CHATS, ModelUnavailable, "OpenAI's format"),
        (streaming(b"data: [1]\n\n"), ModelUnavailable, "OpenAI's format"),
        (streaming(b'data: {"type": "response.completed"}\n\n'), ModelUnavailable, "format"),
        (streaming(b"data: [DONE]\n\n"), ModelUnavailable, "OpenAI's format"),
        (streaming(wire(*BEGINNING)), ModelUnavailable, "broke off"),
        (streaming(wire(*BEGINNING, FAILED)), ModelUnavailable, "Oops"),
        (streaming(wire(*BEGINNING, LIMITED)), ModelRateLimited, "Slow down"),
        (streaming(wire(*BEGINNING, BAD_IMAGE)), ModelRejected, "No image there"),
    ],
)
async def test_an_error_before_the_first_item_has_its_own_status(
    tokenizer: Tokenizer, handler: Handler, error: type[AppError], message: str
) -> None:
    async with serving(handler) as upstream, model_of(tokenizer, upstream.url) as model:
        with pytest.raises(error, match=message):
            await streamed(model)
        if handler is not CHATS and upstream.bodies:
            with pytest.raises(AppError):
                await whole(model)


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (streaming(wire(*BEGINNING, *HALF, FAILED)), "server_error"),
        (streaming(wire(*BEGINNING, *HALF, LIMITED)), "rate_limit_exceeded"),
        (streaming(wire(*BEGINNING, *HALF, BAD_IMAGE)), "invalid_prompt"),
        (streaming(wire(*BEGINNING, *HALF)), "server_error"),
        (streaming(wire(*BEGINNING, *HALF), broken=True), "server_error"),
        (streaming(wire(*BEGINNING, *HALF), b"data: {\n\n"), "server_error"),
    ],
)
async def test_an_error_after_the_first_item_closes_it_and_fails_the_response(
    tokenizer: Tokenizer, handler: Handler, code: str
) -> None:
    counter = Counter()
    async with (
        serving(handler) as upstream,
        model_of(tokenizer, upstream.url, counter=counter) as model,
    ):
        events = await streamed(model)
    closing = ["output_text.done", "content_part.done", "output_item.done", "failed"]
    assert types(events)[-4:] == closing
    assert events[-2]["item"]["status"] == "incomplete"
    assert events[-2]["item"]["content"][0]["text"] == "Hi"
    assert events[-2]["output_index"] == 1
    assert events[-1]["response"]["error"]["code"] == code
    assert counter.counted == [Usage(0, 1)]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "web_search_call", "id": "ws_1", "status": "in_progress"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": ""},
    ],
)
async def test_an_open_item_of_any_kind_is_closed(tokenizer: Tokenizer, item: Json) -> None:
    added = event("output_item.added", output_index=0, item=item)
    async with (
        serving(streaming(wire(*BEGINNING, added))) as upstream,
        model_of(tokenizer, upstream.url) as model,
    ):
        events = await streamed(model)
    assert types(events)[-2:] == ["output_item.done", "failed"]
    assert events[-2]["item"]["status"] == "incomplete"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("broken", [DOWN, streaming(wire(*BEGINNING, FAILED))])
async def test_a_chat_stands_in_for_a_native_server(
    tokenizer: Tokenizer, broken: Handler, stream: bool
) -> None:
    chats = answering(200, CHAT)
    async with serving(broken) as first, serving(CHATS if stream else chats) as second:
        fallbacks = [{"base_url": second.url, "model": "other"}]
        async with model_of(tokenizer, first.url, model_fallbacks=fallbacks) as model:
            found = (await streamed(model))[-1]["response"] if stream else await whole(model)
    assert found["output"][0]["content"][0]["text"] == "By chat"
    assert second.bodies[0]["messages"] == [{"role": "user", "content": "Hello"}]
    assert second.bodies[0]["model"] == "other"
    assert not {"response", "refusal", "input", "store"} & second.bodies[0].keys()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_native_server_stands_in_for_a_chat(tokenizer: Tokenizer, stream: bool) -> None:
    native = streaming(wire(*SCRIPT)) if stream else answering(200, WHOLE)
    async with serving(DOWN) as first, serving(native) as second:
        fallbacks = [{"base_url": second.url, "model": "other", "responses": "native"}]
        more: Json = {"openai_responses": "chat", "model_fallbacks": fallbacks}
        async with model_of(tokenizer, first.url, **more) as model:
            found = (await streamed(model))[-1]["response"] if stream else await whole(model)
    assert found["output"] == WHOLE["output"]
    assert "messages" in first.bodies[0]
    assert second.bodies[0]["model"] == "other"
    assert "messages" not in second.bodies[0]


async def test_a_chain_moves_between_both_kinds(tokenizer: Tokenizer) -> None:
    history = [*WHOLE["output"], {"type": "message", "role": "user", "content": "More"}]
    async with (
        serving(answering(200, CHAT)) as upstream,
        model_of(tokenizer, upstream.url, openai_responses="chat") as model,
    ):
        await whole(model, pending(*history))
    assert "opaque" not in json.dumps(upstream.bodies)
    assert [each["role"] for each in upstream.bodies[0]["messages"]] == [
        "assistant",
        "user",
        "user",
    ]


async def test_a_native_fallback_runs_what_the_first_server_knows_nothing_of(
    tokenizer: Tokenizer,
) -> None:
    async with serving(answering(200, CHAT)) as first, serving(answering(200, WHOLE)) as second:
        fallbacks = [{"base_url": second.url, "responses": "native"}]
        more: Json = {"openai_responses": "chat", "model_fallbacks": fallbacks}
        async with model_of(tokenizer, first.url, **more) as model:
            found = await whole(model, pending(tools=[SEARCH]))
    assert found["output"] == WHOLE["output"]
    assert first.bodies == []


def test_a_second_attempt_goes_on_behind_the_half_item_of_the_first() -> None:
    first = Relay(new_response(REQUEST))
    logged = first.begin() + first.take(NativeChunk(wire(*HALF, first=2)))
    second = Relay({**first.response, "output": []})
    for line in logged.splitlines():
        if line.startswith(b"data: "):
            second.replay(json.loads(line.removeprefix(b"data: ")))
    again = second.break_off() + second.take(NativeChunk(wire(*HALF, *REST, COMPLETED, first=2)))
    again += second.end() + second.last()
    events = [json.loads(each.split(b"data: ")[1]) for each in (logged + again).split(b"\n\n")[:-1]]
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    added = [each for each in events if each["type"] == "response.output_item.added"]
    assert [each["output_index"] for each in added] == [0, 1, 2, 3]
    assert events[-1]["response"]["output"] == WHOLE["output"]


async def test_a_server_that_thinks_for_long_begins_the_stream_of_its_caller(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies cut silent connections, and it says nothing more than that it has begun."""
    monkeypatch.setattr(openai, "LATE_SECONDS", 0.05)
    thought = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(wire(*BEGINNING))
        await thought.wait()
        await response.write(wire(*HALF, *REST, COMPLETED, first=2))
        return response

    async with serving(slow) as upstream, model_of(tokenizer, upstream.url) as model:
        stream = stream_response(model, pending(stream=True))
        first = (await anext(stream)).events
        assert [b"created" in first, b"in_progress" in first] == [True, True]
        thought.set()
        assert b"response.completed" in [each.events async for each in stream][-1]


def refusing_encrypted(error: Json, seen: Callable[[Json], bool]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        refused = seen(await request.json())
        return web.json_response(error if refused else WHOLE, status=400 if refused else 200)

    return handler


async def test_a_model_without_reasoning_is_asked_again_once_and_then_known(
    tokenizer: Tokenizer,
) -> None:
    """OpenAI refuses to encrypt the reasoning of a model that has none."""
    text = "Encrypted content is not supported with this model."
    handler = refusing_encrypted(
        {"error": {"message": text, "type": "invalid_request_error", "param": "include"}},
        lambda body: bool(body["include"]),
    )
    async with serving(handler) as upstream, model_of(tokenizer, upstream.url) as model:
        for _ in range(2):
            await whole(model)
    assert [len(body["include"]) for body in upstream.bodies] == [1, 0, 0]


async def test_reasoning_of_another_server_is_left_out_where_this_one_cannot_read_it(
    tokenizer: Tokenizer,
) -> None:
    handler = refusing_encrypted(
        {"error": {"message": "It could not be verified.", "code": "invalid_encrypted_content"}},
        lambda body: "opaque" in json.dumps(body),
    )
    async with serving(handler) as upstream, model_of(tokenizer, upstream.url) as model:
        await whole(model, pending(REASONING))
        await whole(model)
    assert [len(body["input"]) for body in upstream.bodies] == [2, 1, 1]
    assert upstream.bodies[2]["include"]


SEARCH = {"type": "web_search"}


@pytest.mark.parametrize(
    "tool",
    [
        SEARCH,
        {"type": "retrieval", "vector_store_ids": ["vs_1"]},
        {"type": "mcp", "server_label": "x", "server_url": "https://example.com"},
        {"type": "code_interpreter", "container": "cntr_1"},
    ],
)
def test_a_hosted_tool_is_refused_by_name_unless_it_is_allowed_and_names_no_object(
    tool: Json,
) -> None:
    request = ResponseRequest(model="m", input="Hi", tools=[tool])
    for allowed in ([], [tool["type"]])[: 1 if tool is SEARCH else 2]:
        with pytest.raises(Unsupported, match=tool["type"]) as refused:
            refuse_hosted_tools(request, allowed)
        assert refused.value.param == "tools[0]"
    refuse_hosted_tools(ResponseRequest(model="m", input="Hi", tools=[SEARCH]), ["web_search"])


async def test_only_a_native_server_runs_an_allowed_tool(tokenizer: Tokenizer) -> None:
    handler = by_path(answering(200, WHOLE), answering(200, CHAT))
    async with serving(handler) as upstream:
        async with model_of(tokenizer, upstream.url) as model:
            await whole(model, pending(tools=[SEARCH]))
        assert upstream.bodies[0]["tools"] == [SEARCH]
        async with model_of(tokenizer, upstream.url, openai_responses="chat") as model:
            with pytest.raises(Unsupported, match="web_search"):
                await whole(model, pending(tools=[SEARCH]))
    assert len(upstream.bodies) == 1


@pytest.mark.parametrize("name", ["file_id", "file_url"])
def test_a_file_at_the_server_is_refused_by_its_place(name: str) -> None:
    content = [{"type": "input_text", "text": "Look"}, {"type": "input_file", name: "file-1"}]
    item = {"type": "message", "role": "user", "content": content}
    request = ResponseRequest(model="m", input=[item])
    with pytest.raises(Unsupported) as refused:
        response_chat(request, [MESSAGE, item], 1, CALLER)
    assert refused.value.param == f"input[0].content[1].{name}"


@pytest.mark.parametrize("kind", [[], {}, 7, "odd"])
def test_odd_kinds_are_refused_and_break_nothing(kind: object) -> None:
    request = ResponseRequest(model="m", input=[{"type": kind, "content": [1]}])
    assert isinstance(response_chat(request, request.items, 0, CALLER).refusal, Unsupported)
    with pytest.raises(Unsupported):
        refuse_hosted_tools(ResponseRequest(model="m", input="Hi", tools=[{"type": kind}]), ())
    message = {"role": "assistant", "content": [1]}
    with pytest.raises(InvalidRequest):
        response_chat(request, [message], 0, CALLER)


@pytest.mark.parametrize("item", [REASONING, {"type": "web_search_call", "id": "ws_theirs"}])
def test_an_id_of_the_server_stays_and_one_that_was_made_here_does_not(item: Json) -> None:
    def sent(found: Json) -> Json:
        (only,) = native_body(REQUEST, [found], CALLER)["input"]
        return cast("Json", only)

    assert sent(item) == item
    own = {**item, "id": new_id("rs")}
    assert sent(own) == {name: each for name, each in item.items() if name != "id"}


async def test_items_are_kept_where_the_last_event_leaves_them_out(tokenizer: Tokenizer) -> None:
    last = event("completed", response={"output": [], "usage": None})
    async with (
        serving(streaming(wire(*BEGINNING, *HALF, *REST, last))) as upstream,
        model_of(tokenizer, upstream.url) as model,
    ):
        events = await streamed(model)
    assert events[-1]["response"]["status"] == "completed"
    assert events[-1]["response"]["output"] == WHOLE["output"]


async def test_what_no_chat_can_say_goes_to_a_native_server(tokenizer: Tokenizer) -> None:
    pdf = [{"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,"}]
    item = {"type": "message", "role": "user", "content": pdf}
    async with (
        serving(answering(200, WHOLE)) as upstream,
        model_of(tokenizer, upstream.url) as model,
    ):
        await whole(model, pending(input=[item]))
    assert upstream.bodies[0]["input"] == [item]


OPENAI = "https://api.openai.com/v1"
OTHER = "https://vllm.example.com/v1"


@pytest.mark.parametrize(
    ("values", "native"),
    [
        ({"openai_base_url": OPENAI}, [True]),
        ({"openai_base_url": OTHER}, [False]),
        ({"openai_base_url": OTHER, "openai_responses": "native"}, [True]),
        ({"openai_base_url": OPENAI, "openai_responses": "chat"}, [False]),
        ({"model_provider": "simulated", "openai_responses": "native"}, [False]),
        ({"model_fallbacks": [{"base_url": OTHER}]}, [True, False]),
        ({"model_fallbacks": [{"base_url": OTHER, "responses": "native"}]}, [True, True]),
        ({"model_fallbacks": [{"provider": "simulated"}]}, [True, False]),
        ({"model_fallbacks": [{"model": "smaller"}]}, [True, True]),
        ({"openai_responses": "chat", "model_fallbacks": [{"base_url": OPENAI}]}, [False, True]),
        ({"openai_responses": "chat", "model_fallbacks": [{"model": "smaller"}]}, [False, False]),
    ],
)
def test_a_setting_and_not_a_guess_says_which_servers_are_native(
    values: Json, native: list[bool]
) -> None:
    pools = provider_pools(settings(**{"model_provider": "openai", **values}), Priority.ONLINE)
    assert [pool.settings.native_responses for pool in pools] == native
