"""OpenAI's own client for Python."""

import json
import time

import openai
from checks import (
    CHAT,
    CITY,
    DIMENSIONS,
    EMBEDDINGS,
    KEY,
    LIMITED_KEY,
    LOCAL_CHAT,
    LOCAL_KEY,
    LOCAL_URL,
    MESSAGES,
    TOO_LONG,
    URL,
    WEATHER,
    check,
    raised,
    run,
)
from pydantic import BaseModel

client = openai.OpenAI(base_url=URL, api_key=KEY)
completions = client.chat.completions


class Answer(BaseModel):
    city: str
    people: int


@check
def chat():
    answer = completions.create(model=CHAT, messages=MESSAGES)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens > answer.usage.prompt_tokens > 0
    assert answer._request_id


@check
async def chat_asynchronous():
    async with openai.AsyncOpenAI(base_url=URL, api_key=KEY) as asynchronous:
        chunks = await asynchronous.chat.completions.create(
            model=CHAT, messages=MESSAGES, stream=True
        )
        assert "".join([_text(chunk) async for chunk in chunks]) == _whole()


@check
def stream():
    chunks = list(completions.create(model=CHAT, messages=MESSAGES, stream=True))
    assert "".join(map(_text, chunks)) == _whole()
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"


@check
def stream_usage():
    chunks = list(
        completions.create(
            model=CHAT, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert not chunks[-1].choices
    assert chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


@check
def stream_helper():
    with completions.stream(model=CHAT, messages=MESSAGES) as events:
        texts = [event.delta for event in events if event.type == "content.delta"]
        assert "".join(texts) == _whole()
        assert events.get_final_completion().choices[0].message.content == _whole()


@check
def nulls():
    absent = {"stream": None, "stream_options": None, "temperature": None, "tools": None}
    answer = completions.create(model=CHAT, messages=MESSAGES, **absent)
    assert answer.choices[0].message.content


@check
def tool_forced():
    choice = {"type": "function", "function": {"name": "weather"}}
    answer = completions.create(
        model=CHAT, messages=MESSAGES, tools=[WEATHER], tool_choice=choice
    ).choices[0]
    assert answer.message.tool_calls[0].function.name == "weather"
    assert "city" in json.loads(answer.message.tool_calls[0].function.arguments)


@check
def tool_streamed():
    chunks = completions.create(
        model=CHAT, messages=MESSAGES, tools=[WEATHER], tool_choice="required", stream=True
    )
    calls = [
        call for chunk in chunks for part in chunk.choices for call in part.delta.tool_calls or []
    ]
    assert calls[0].id
    assert calls[0].function.name == "weather"
    assert "city" in json.loads("".join(call.function.arguments or "" for call in calls))


@check
def tool_auto():
    first = completions.create(model=CHAT, messages=MESSAGES, tools=[WEATHER]).choices[0]
    assert first.finish_reason == "tool_calls", first.finish_reason
    result = {"role": "tool", "tool_call_id": first.message.tool_calls[0].id, "content": "Sun"}
    second = completions.create(
        model=CHAT, messages=[*MESSAGES, first.message, result], tools=[WEATHER]
    ).choices[0]
    assert second.finish_reason == "stop"
    assert second.message.content


@check
def json_schema():
    answer = completions.parse(model=CHAT, messages=MESSAGES, response_format=Answer)
    assert isinstance(answer.choices[0].message.parsed, Answer)


@check
def json_object():
    answer = completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": f"Answer in JSON of this schema: {CITY}"}],
        response_format={"type": "json_object"},
    )
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


@check
def embeddings():
    texts = ["one", "two"]
    base64 = client.embeddings.create(model=EMBEDDINGS, input=texts)
    floats = client.embeddings.create(model=EMBEDDINGS, input=texts, encoding_format="float")
    assert [len(one.embedding) for one in base64.data] == [DIMENSIONS] * 2
    for one, other in zip(base64.data, floats.data, strict=True):
        assert all(abs(x - y) < 1e-6 for x, y in zip(one.embedding, other.embedding, strict=True))
    assert base64.usage.total_tokens > 0


@check
def embeddings_of_tokens():
    answer = client.embeddings.create(model=EMBEDDINGS, input=[[9906], [1917]], dimensions=64)
    assert [len(one.embedding) for one in answer.data] == [64, 64]


@check
def completions_of_old():
    whole = client.completions.create(model=CHAT, prompt="Hello", max_tokens=8)
    assert whole.choices[0].text
    chunks = client.completions.create(model=CHAT, prompt="Hello", max_tokens=8, stream=True)
    assert "".join(part.text for chunk in chunks for part in chunk.choices) == whole.choices[0].text


@check
def models():
    assert {CHAT, EMBEDDINGS} <= {model.id for model in client.models.list()}
    assert client.models.retrieve(CHAT).id == CHAT


@check
def files():
    file = client.files.create(file=("one.jsonl", _lines(["one"])), purpose="batch")
    assert client.files.retrieve(file.id).filename == "one.jsonl"
    assert file.id in {each.id for each in client.files.list(purpose="batch")}
    assert client.files.content(file.id).read() == _lines(["one"])
    assert client.files.delete(file.id).deleted
    raised(openai.NotFoundError, lambda: client.files.retrieve(file.id))


@check
def batch():
    names = ["one", "two", "wrong"]
    batch = _finished(client.files.create(file=("b.jsonl", _lines(names)), purpose="batch").id)
    assert batch.status == "completed", batch.errors
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
    good = _results(batch.output_file_id)
    assert set(good) == {"one", "two"}
    assert good["one"]["response"]["body"]["choices"][0]["message"]["content"]
    assert _results(batch.error_file_id)["wrong"]["response"]["status_code"] == 404


@check
def batch_cancelled():
    file = client.files.create(file=("b.jsonl", _lines(map(str, range(500)))), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert client.batches.cancel(batch.id).status in {"cancelling", "cancelled"}
    assert batch.id in {each.id for each in client.batches.list()}


@check
def wrong_key():
    stranger = client.with_options(api_key="sk-wrong")
    error = raised(openai.AuthenticationError, stranger.models.list)
    assert error.code == "invalid_api_key", error.code


@check
def unknown_model():
    error = raised(
        openai.NotFoundError, lambda: completions.create(model="gpt-99", messages=MESSAGES)
    )
    assert error.code == "model_not_found", error.code


@check
def bad_request():
    error = raised(
        openai.BadRequestError,
        lambda: completions.create(model=CHAT, messages=MESSAGES, temperature=9),
    )
    assert error.param == "temperature", error.param


@check
def context_too_long():
    local = openai.OpenAI(base_url=LOCAL_URL, api_key=LOCAL_KEY)
    messages = [{"role": "user", "content": TOO_LONG}]
    error = raised(
        openai.BadRequestError,
        lambda: local.chat.completions.create(model=LOCAL_CHAT, messages=messages),
    )
    assert error.code == "context_length_exceeded", error.code
    assert "maximum context length is" in error.message, error.message


@check
def rate_limit():
    limited = client.with_options(api_key=LIMITED_KEY, max_retries=0)
    error = raised(openai.RateLimitError, lambda: _ask_often(limited))
    assert error.code == "rate_limit_exceeded", error.code
    headers = error.response.headers
    assert float(headers["retry-after-ms"]) > 0
    for kind in ("requests", "tokens"):
        for what in ("limit", "remaining", "reset"):
            assert f"x-ratelimit-{what}-{kind}" in headers, f"no x-ratelimit-{what}-{kind}"


def _text(chunk):
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


def _whole():
    return completions.create(model=CHAT, messages=MESSAGES).choices[0].message.content


def _ask_often(limited):
    for _ in range(3):
        limited.chat.completions.create(model=CHAT, messages=MESSAGES, max_tokens=1)


def _lines(names):
    return "\n".join(map(_line, names)).encode()


def _line(name):
    model = "gpt-99" if name == "wrong" else CHAT
    body = {"model": model, "messages": MESSAGES, "max_tokens": 4}
    call = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps({"custom_id": name, **call})


def _finished(file):
    batch = client.batches.create(
        input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
    )
    limit = time.monotonic() + 60
    while batch.status in {"validating", "in_progress", "finalizing"}:
        assert time.monotonic() < limit, f"the batch is {batch.status} after 60 s"
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    return batch


def _results(file):
    lines = map(json.loads, client.files.content(file).text.splitlines())
    return {line["custom_id"]: line for line in lines}


if __name__ == "__main__":
    run("openai")
