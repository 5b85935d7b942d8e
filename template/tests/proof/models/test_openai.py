"""The provider `openai` against scripted servers on loopback."""

import asyncio
import email.utils
import json
import time
from collections.abc import Callable

import pytest
from aiohttp import ClientSession, web

from engine.errors import (
    AppError,
    ModelDown,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
    NotFound,
)
from engine.models import openai
from engine.models.interface import EmbeddingsRequest, Usage
from engine.models.openai import OpenAI
from engine.models.refusals import LONGEST_WAIT
from engine.models.upstreams import open_upstreams
from engine.process.http import open_upstream_session
from engine.process.tokenizer import Tokenizer
from engine.slots.redis_semaphore import Priority
from tests.proof.models.asking import (
    Json,
    body,
    chat,
    collect,
    events,
    settings,
    streamed,
    text_of,
)
from tests.upstream import Handler, Upstream, answering, serving, streaming

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret"
DONE = b"data: [DONE]\n\n"
WHOLE = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
}


def event(content: str, **fields: object) -> bytes:
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": None}]
    return b"data: " + json.dumps({"choices": choices, **fields}).encode() + b"\n\n"


USAGE = event("", choices=[], usage={"prompt_tokens": 2, "completion_tokens": 3})


@pytest.fixture
def provider(http: ClientSession, tokenizer: Tokenizer) -> Callable[[Upstream], OpenAI]:
    def make(upstream: Upstream) -> OpenAI:
        configured = settings(openai_base_url=upstream.url, openai_api_key=KEY)
        return OpenAI(configured, http, tokenizer)

    return make


Provider = Callable[[Upstream], OpenAI]


async def test_the_query_of_the_base_url_stands_behind_each_path(
    http: ClientSession, tokenizer: Tokenizer
) -> None:
    """As Azure's `?api-version=` does."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        return web.json_response({**WHOLE, "data": [{}]})

    async with serving(handler) as upstream:
        configured = settings(openai_base_url=f"{upstream.url}/?api-version=2026-01-01&a=b%20c")
        provider = OpenAI(configured, http, tokenizer)
        await provider.complete(chat("m"))
        await provider.models()
        await provider.embed(EmbeddingsRequest(model="m", input="Hi"))
    paths = "chat/completions", "models", "embeddings"
    assert asked == [f"/v1/{path}?api-version=2026-01-01&a=b%20c" for path in paths]


async def refused(provider: Provider, handler: Handler) -> AppError:
    """Return the error that a whole and a streamed answer end with alike."""
    async with serving(handler) as upstream:
        with pytest.raises(AppError) as whole:
            await provider(upstream).complete(chat("m"))
        with pytest.raises(AppError) as stream:
            await streamed(provider(upstream), chat("m"))
    assert type(whole.value) is type(stream.value)
    assert whole.value.message == stream.value.message
    return whole.value


async def test_a_whole_answer_is_relayed_byte_for_byte(provider: Provider) -> None:
    text = json.dumps({**WHOLE, "of_tomorrow": 1.10}, indent=3)
    async with serving(answering(200, text)) as upstream:
        answer = await provider(upstream).complete(chat("m"))
    assert answer.body == text.encode()
    assert answer.usage.completion_tokens == 3


async def test_unknown_fields_are_passed_on_and_nulls_and_unset_ones_left_out(
    provider: Provider,
) -> None:
    messages = [{"role": "assistant", "content": None, "x": [1]}]
    given = [{**messages[0], "refusal": None, "y": {"z": None}}]
    unknown: Json = {"of_tomorrow": [1], "guided_json": {"const": None}}
    async with serving(answering(200, WHOLE)) as upstream:
        await provider(upstream).complete(
            chat("m", messages=given, seed=None, x=None, stream_options={}, **unknown)
        )
    assert upstream.bodies == [
        {"model": "m", "messages": [{**messages[0], "y": {}}], **unknown, "stream": False}
    ]
    assert upstream.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_a_body_of_megabytes_is_sent(provider: Provider) -> None:
    text = "é" * 2_000_000
    async with serving(answering(200, WHOLE)) as upstream:
        await provider(upstream).complete(chat("m", text))
    assert upstream.bodies[0]["messages"][0]["content"] == text


async def test_the_usage_is_always_asked_for_and_hidden_where_the_caller_did_not(
    provider: Provider,
) -> None:
    async with serving(streaming(event("Hi"), USAGE, DONE)) as upstream:
        chunks = await collect(provider(upstream).stream(chat("m", stream=True)))
    assert upstream.bodies[0]["stream_options"] == {"include_usage": True}
    assert b"".join(chunk.events for chunk in chunks) == event("Hi")
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [3]


async def test_a_usage_beside_the_last_words_is_counted(provider: Provider) -> None:
    last = event("Hi", usage={"prompt_tokens": 2, "completion_tokens": 3})
    async with serving(streaming(last, DONE)) as upstream:
        chunks = await collect(provider(upstream).stream(chat("m")))
    assert b"".join(chunk.events for chunk in chunks) == last
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [3]


@pytest.mark.parametrize("beside", [b"", b": ping\n\n"])
async def test_chunks_without_choices_are_passed_on(provider: Provider, beside: bytes) -> None:
    filtered = event("", choices=[], prompt_filter_results=[])  # as Azure's first one is
    async with serving(streaming(beside + filtered, DONE)) as upstream:
        chunks = await collect(provider(upstream).stream(chat("m")))
    assert b"".join(chunk.events for chunk in chunks) == filtered


async def test_events_stay_whole_however_the_network_cuts_them(provider: Provider) -> None:
    wire = event("Grüße ") + event("[DONE] is not the end, nor is \n\n ") + event('"error"')
    wire += b": ping\n\n" + USAGE.replace(b"\n", b"\r\n") + DONE
    pieces = [wire[start : start + 7] for start in range(0, len(wire), 7)]
    options = {"include_usage": True}
    async with serving(streaming(*pieces)) as upstream:
        request = chat("m", stream=True, stream_options=options)
        chunks = await collect(provider(upstream).stream(request))
    parsed = events(chunks)
    assert text_of(parsed) == 'Grüße [DONE] is not the end, nor is \n\n "error"'
    assert len(parsed) == 4


async def test_events_that_come_together_are_passed_on_together(provider: Provider) -> None:
    several = event("How") + event(" are") + event(" you?")
    async with serving(streaming(several, DONE)) as upstream:
        chunks = await collect(provider(upstream).stream(chat("m")))
    assert [chunk.events for chunk in chunks] == [several, b""]


async def test_chunks_that_came_together_with_an_error_are_not_lost(provider: Provider) -> None:
    error = b'data: {"error": {"message": "spilled"}}\n\n'
    async with serving(streaming(event("Hi") + error)) as upstream:
        stream = provider(upstream).stream(chat("m"))
        assert (await anext(stream)).events == event("Hi")
        with pytest.raises(ModelError, match="spilled"):
            await anext(stream)


@pytest.mark.parametrize(
    "comment",
    [b": ping\n\n", b":\n\n", b"event: message\n", b"id: 7\n", b'note:{"choices": []}\n\n'],
)
async def test_comments_and_fields_that_clients_do_not_expect_are_dropped(
    provider: Provider, comment: bytes
) -> None:
    async with serving(streaming(comment + event("Hi"), event("Hi") + comment, DONE)) as upstream:
        chunks = await collect(provider(upstream).stream(chat("m")))
    assert b"".join(chunk.events for chunk in chunks) == 2 * event("Hi")


@pytest.mark.parametrize("broken", [True, False], ids=["cut", "ended"])
async def test_a_stream_without_its_end_is_an_error(provider: Provider, *, broken: bool) -> None:
    async with serving(streaming(event("Hi"), b"data: {", broken=broken)) as upstream:
        stream = provider(upstream).stream(chat("m"))
        assert (await anext(stream)).events == event("Hi")
        with pytest.raises(ModelUnavailable):
            await anext(stream)


@pytest.mark.parametrize("choices", [b"", b'"choices": [{"finish_reason": "error"}], '])
async def test_an_error_in_a_stream_ends_it(provider: Provider, choices: bytes) -> None:
    error = b"data: {" + choices + b'"error": {"message": "out of memory", "code": 500}}\n\n'
    async with serving(streaming(event("Hi"), error, DONE)) as upstream:
        with pytest.raises(ModelUnavailable, match="out of memory"):
            await collect(provider(upstream).stream(chat("m")))


async def test_another_format_than_openais_is_an_error(provider: Provider) -> None:
    async with serving(answering(200, "<html>")) as upstream:
        for call in (
            provider(upstream).complete(chat("m")),
            provider(upstream).models(),
            provider(upstream).embed(EmbeddingsRequest(model="m", input="x")),
        ):
            with pytest.raises(ModelUnavailable, match="OPENAI_BASE_URL"):
                await call


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
async def test_a_rejection_keeps_its_reason(provider: Provider, status: int) -> None:
    detail = {"message": "too warm", "param": "temperature", "code": "bad_value"}
    error = await refused(provider, answering(status, {"error": detail}))
    assert type(error) is ModelRejected
    assert error.status == status
    assert (error.message, error.param, error.code) == ("too warm", "temperature", "bad_value")


@pytest.mark.parametrize(
    "content",
    [
        {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}},
        {"error": {"message": 'model "m" not found, try pulling it first', "code": None}},
        {"error": 'model "m" not found'},
    ],
    ids=["openai", "ollama", "text"],
)
async def test_a_missing_model_is_not_found(provider: Provider, content: object) -> None:
    error = await refused(provider, answering(404, content))
    assert type(error) is NotFound
    assert (error.param, error.code) == ("model", "model_not_found")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key_is_the_services_own_fault(provider: Provider, status: int) -> None:
    content = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    error = await refused(provider, answering(status, content))
    assert type(error) is ModelError
    assert "own key" in error.message
    assert KEY not in error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": email.utils.formatdate(0, usegmt=True)}, 0),
        ({"retry-after": "soon"}, 1),
        ({"retry-after": "inf"}, 1),
        ({"retry-after": "nan"}, 1),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "604800"}, LONGEST_WAIT),
        ({"retry-after": "9" * 400}, 1),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST_WAIT),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
        ({}, 1),
    ],
)
async def test_the_time_to_wait_is_read_in_every_form(
    provider: Provider, headers: dict[str, str], seconds: float
) -> None:
    error = await refused(provider, answering(429, {"error": {"message": "slow"}}, headers))
    assert type(error) is ModelRateLimited
    assert error.retry_after == pytest.approx(seconds, abs=0.001)


async def test_the_time_to_wait_may_be_a_date(provider: Provider) -> None:
    date = email.utils.formatdate(time.time() + 3600, usegmt=True)
    error = await refused(provider, answering(429, {}, {"retry-after": date}))
    assert error.retry_after
    assert 0 < error.retry_after <= 3600


async def test_a_pause_is_one_that_was_asked_for(provider: Provider) -> None:
    silent = await refused(provider, answering(429, {}))
    asking = await refused(provider, answering(429, {}, {"Retry-After": "7"}))
    assert isinstance(silent, ModelRateLimited)
    assert isinstance(asking, ModelRateLimited)
    assert (silent.pause, asking.pause) == (0.0, 7.0)


async def test_an_account_that_is_used_up_is_not_asked_again(provider: Provider) -> None:
    spent = {"error": {"message": "spent", "code": "insufficient_quota"}}
    error = await refused(provider, answering(429, spent))
    assert type(error) is ModelError
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, ModelUnavailable),
        (500, ModelUnavailable),
        (502, ModelDown),
        (503, ModelDown),
        (504, ModelDown),
        (529, ModelRateLimited),
    ],
)
async def test_a_failing_server_may_be_tried_again(
    provider: Provider, status: int, kind: type[AppError]
) -> None:
    error = await refused(provider, answering(status, "<html>"))
    assert type(error) is kind
    assert error.retry_after


async def test_a_server_that_is_not_there_is_unavailable(provider: Provider) -> None:
    async with serving(answering(200, WHOLE)) as upstream:
        pass
    with pytest.raises(ModelDown, match="cannot be reached"):
        await provider(upstream).complete(chat("m"))


async def test_a_silent_stream_is_not_asked_for_again(tokenizer: Tokenizer) -> None:
    async def silent(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        serving(silent) as upstream,
        open_upstream_session(settings(http_read_timeout=0.1)) as http,
    ):
        configured = settings(openai_base_url=upstream.url, model_provider="openai")
        opened = open_upstreams(configured, Priority.ONLINE, http, None, tokenizer)
        async with opened as upstreams:
            with pytest.raises(ModelTimeout, match="silent"):
                await collect(upstreams[Priority.ONLINE].stream(chat("m"), "caller"))
        await upstream.gone.wait()
    assert len(upstream.bodies) == 1


async def test_a_cancelled_call_hangs_up(provider: Provider) -> None:
    asked = asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(slow) as upstream:
        call = asyncio.ensure_future(provider(upstream).complete(chat("m")))
        await asked.wait()
        call.cancel()
        async with asyncio.timeout(10):
            await upstream.gone.wait()
        assert (await asyncio.gather(call, return_exceptions=True))[0].__class__ is (
            asyncio.CancelledError
        )


async def test_a_closed_stream_hangs_up(provider: Provider) -> None:
    async with serving(streaming(*[event("Hi")] * 2000)) as upstream:
        stream = provider(upstream).stream(chat("m"))
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(10):
            await upstream.gone.wait()


async def test_streams_one_after_the_other_share_a_connection(provider: Provider) -> None:
    async with serving(streaming(event("Hi") + DONE)) as upstream:
        model = provider(upstream)
        for _ in range(5):
            await collect(model.stream(chat("m")))
    assert len(upstream.connections) == 1


async def test_a_whole_answer_may_be_silent_for_longer_than_a_stream(tokenizer: Tokenizer) -> None:
    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.json_response(WHOLE)

    async with (
        serving(slow) as upstream,
        open_upstream_session(settings(http_read_timeout=0.1)) as http,
    ):
        provider = OpenAI(settings(openai_base_url=upstream.url), http, tokenizer)
        assert (await provider.complete(chat("m"))).text == "Hi"


async def test_an_answer_that_breaks_off_after_its_last_word_is_whole(provider: Provider) -> None:
    last = event("Hi").replace(b"null", b'"stop"')
    async with serving(streaming(last, broken=True)) as upstream:
        assert text_of(await streamed(provider(upstream), chat("m"))) == "Hi"


async def test_of_several_choices_each_must_come_to_its_end(provider: Provider) -> None:
    last = event("Hi").replace(b"null", b'"stop"')
    async with serving(streaming(last, last)) as upstream:
        with pytest.raises(ModelUnavailable, match="broke off"):
            await streamed(provider(upstream), chat("m", n=2))
    async with serving(streaming(last, last.replace(b'"index": 0', b'"index": 1'))) as upstream:
        assert len(await streamed(provider(upstream), chat("m", n=2))) == 2


@pytest.mark.parametrize("comments", [True, False])
async def test_a_stream_that_is_late_begins_without_an_event(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, *, comments: bool
) -> None:
    monkeypatch.setattr(openai, "LATE_SECONDS", 0.05)
    thought = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not thought.is_set():
            await response.write(b": thinking\n\n" if comments else b"")
            await asyncio.sleep(0.02)
        await response.write(event("Hi") + DONE)
        return response

    async with serving(slow) as upstream:
        stream = provider(upstream).stream(chat("m"))
        assert (await anext(stream)).events == b""
        thought.set()
        assert text_of(events(await collect(stream))) == "Hi"


CARD = {"id": "m", "object": "model", "created": 7, "owned_by": "me"}


@pytest.mark.parametrize(
    ("content", "cards"),
    [
        ({"data": [{**CARD, "context_window": 9}]}, [{**CARD, "context_window": 9}]),
        ([CARD], [CARD]),
        ({"data": [{"id": "m"}]}, [{**CARD, "created": 0, "owned_by": "app"}]),
        ({"data": [{**CARD, "created": None}]}, [{**CARD, "created": 0}]),
        ({"data": [{**CARD, "created": 7.5}]}, [{**CARD, "created": 0}]),
        ({"data": [{"name": "no id"}, "m", CARD]}, [CARD]),
        ({"data": []}, []),
    ],
    ids=["more", "bare list", "less", "null", "half", "odd entries", "empty"],
)
async def test_the_models_are_passed_on_with_all_that_is_said_of_them(
    provider: Provider, content: object, cards: list[object]
) -> None:
    async with serving(answering(200, content)) as upstream:
        assert [card.model_dump() for card in await provider(upstream).models()] == cards


@pytest.mark.parametrize(
    ("usage", "prompt"),
    [({"prompt_tokens": 2, "total_tokens": 2}, 2), ({"prompt_tokens": -2}, 0)],
)
async def test_embeddings_cost_their_prompt(provider: Provider, usage: object, prompt: int) -> None:
    content = {"data": [{"embedding": [0.5]}], "usage": usage}
    async with serving(answering(200, content)) as upstream:
        answer = await provider(upstream).embed(EmbeddingsRequest(model="m", input="x"))
    assert answer.usage == Usage(prompt, 0)
    assert body(answer) == content


async def test_embeddings_without_a_count_are_counted_here(provider: Provider) -> None:
    async with serving(answering(200, {"data": [{"embedding": []}]})) as upstream:
        answer = await provider(upstream).embed(EmbeddingsRequest(model="m", input="x"))
    assert answer.usage.prompt_tokens > 0


@pytest.mark.parametrize("content", [{"data": []}, {"data": None}, {}, {"data": "AAAA"}])
async def test_no_embeddings_are_an_error(provider: Provider, content: object) -> None:
    async with serving(answering(200, content)) as upstream:
        with pytest.raises(ModelUnavailable, match="OPENAI_BASE_URL"):
            await provider(upstream).embed(EmbeddingsRequest(model="m", input="x"))


async def test_servers_without_keys_are_asked_without_one(
    http: ClientSession, tokenizer: Tokenizer
) -> None:
    async with serving(answering(200, WHOLE)) as upstream:
        configured = settings(openai_base_url=f"{upstream.url}/")
        answer = await OpenAI(configured, http, tokenizer).complete(chat("m"))
    assert body(answer) == WHOLE
    assert "Authorization" not in upstream.headers[0]
