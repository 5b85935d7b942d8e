"""The provider `openai` against scripted servers on loopback."""

import asyncio
import email.utils
import json
import time
from collections.abc import Callable

import pytest
from aiohttp import ClientSession, web

from app.errors import (
    AppError,
    ModelDown,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    NotFound,
)
from app.resources.http import open_http
from app.resources.models.interface import EmbeddingsRequest
from app.resources.models.openai import OpenAI
from tests.proof.resources.models.asking import (
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
def provider(http: ClientSession) -> Callable[[Upstream], OpenAI]:
    def make(upstream: Upstream) -> OpenAI:
        configured = settings(openai_base_url=upstream.url, openai_api_key=KEY)
        return OpenAI(configured, http)

    return make


Provider = Callable[[Upstream], OpenAI]


async def test_the_query_of_the_base_url_stands_behind_each_path(http: ClientSession) -> None:
    """As Azure's `?api-version=` does."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        return web.json_response({**WHOLE, "data": []})

    async with serving(handler) as upstream:
        configured = settings(openai_base_url=f"{upstream.url}/?api-version=2026-01-01&a=b%20c")
        provider = OpenAI(configured, http)
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


async def test_unknown_fields_and_nulls_are_passed_on_and_unset_ones_left_out(
    provider: Provider,
) -> None:
    messages = [{"role": "assistant", "content": None, "refusal": None, "x": {"y": None}}]
    async with serving(answering(200, WHOLE)) as upstream:
        await provider(upstream).complete(
            chat("m", messages=messages, of_tomorrow=[1], seed=None, stream_options={})
        )
    assert upstream.bodies == [
        {"model": "m", "messages": messages, "of_tomorrow": [1], "seed": None, "stream": False}
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


async def test_what_came_together_with_an_error_is_not_lost(provider: Provider) -> None:
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


async def test_what_is_not_openais_format_is_an_error(provider: Provider) -> None:
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
        ({}, 1),
    ],
    ids=["milliseconds", "seconds", "past", "nonsense", "none"],
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


async def test_a_silent_server_is_unavailable() -> None:
    async def silent(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(silent) as upstream, open_http(settings(http_read_timeout=0.1)) as http:
        provider = OpenAI(settings(openai_base_url=upstream.url), http)
        with pytest.raises(ModelDown, match="Timeout"):
            await provider.complete(chat("m"))
        await upstream.gone.wait()


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


async def test_servers_without_keys_are_asked_without_one(http: ClientSession) -> None:
    async with serving(answering(200, WHOLE)) as upstream:
        answer = await OpenAI(settings(openai_base_url=f"{upstream.url}/"), http).complete(
            chat("m")
        )
    assert body(answer) == WHOLE
    assert "Authorization" not in upstream.headers[0]
