"""litellm, which puts nulls where a caller gives nothing, and knows errors by their words."""

import json
import os

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

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks the internet at its import
import litellm

SERVICE = {"api_base": URL, "api_key": KEY}
MODEL = f"openai/{CHAT}"


@check
def chat():
    answer = _ask()
    assert answer.choices[0].message.content
    assert answer.usage.total_tokens > 0


@check
async def chat_asynchronous():
    answer = await litellm.acompletion(MODEL, MESSAGES, **SERVICE)
    assert answer.choices[0].message.content == _text(_ask())


@check
def stream():
    chunks = list(_ask(stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == _text(_ask())


@check
def stream_usage():
    chunks = list(_ask(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens > 0


@check
def nulls():
    assert _text(_ask(extra_body={"stream": None, "tools": None, "stream_options": None}))


@check
def tool_forced():
    call = _ask(tools=[WEATHER], tool_choice="required").choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert "city" in json.loads(call.function.arguments)


@check
def tool_auto():
    first = _ask(tools=[WEATHER], tool_choice="auto").choices[0]
    assert first.finish_reason == "tool_calls", first.finish_reason
    result = {"role": "tool", "tool_call_id": first.message.tool_calls[0].id, "content": "Sun"}
    second = _ask([*MESSAGES, first.message, result], tools=[WEATHER]).choices[0]
    assert second.finish_reason == "stop"
    assert second.message.content


@check
def json_schema():
    form = {"name": "city", "schema": CITY, "strict": True}
    answer = _ask(response_format={"type": "json_schema", "json_schema": form})
    assert "city" in json.loads(_text(answer))


@check
def json_object():
    answer = _ask(response_format={"type": "json_object"})
    assert isinstance(json.loads(_text(answer)), dict)


@check
def embeddings():
    answer = litellm.embedding(f"openai/{EMBEDDINGS}", ["one", "two"], **SERVICE)
    assert [len(one["embedding"]) for one in answer.data] == [DIMENSIONS] * 2


@check
def embeddings_as_floats():
    answer = litellm.embedding(f"openai/{EMBEDDINGS}", ["one"], encoding_format="float", **SERVICE)
    assert len(answer.data[0]["embedding"]) == DIMENSIONS


@check
def completions_of_old():
    model = f"text-completion-openai/{CHAT}"
    whole = litellm.text_completion("Hello", model, max_tokens=8, **SERVICE).choices[0].text
    assert whole
    chunks = litellm.text_completion("Hello", model, max_tokens=8, stream=True, **SERVICE)
    assert "".join(chunk.choices[0].text or "" for chunk in chunks) == whole


@check
def wrong_key():
    raised(litellm.AuthenticationError, lambda: _ask(api_key="sk-wrong"))


@check
def unknown_model():
    raised(litellm.NotFoundError, lambda: litellm.completion("openai/gpt-99", MESSAGES, **SERVICE))


@check
def bad_request():
    raised(litellm.BadRequestError, lambda: _ask(temperature=9))


@check
def context_too_long():
    raised(litellm.ContextWindowExceededError, _ask_too_long)


@check
def context_fallback():
    """The next model is asked, as litellm does where it knows the error by its words."""
    local = {"model": f"openai/{LOCAL_CHAT}", "api_base": LOCAL_URL, "api_key": LOCAL_KEY}
    router = litellm.Router(
        model_list=[
            {"model_name": "small", "litellm_params": local},
            {"model_name": "large", "litellm_params": {"model": MODEL, **SERVICE}},
        ],
        context_window_fallbacks=[{"small": ["large"]}],
        num_retries=0,
    )
    answer = router.completion("small", [{"role": "user", "content": TOO_LONG}])
    assert answer.model.endswith(CHAT), answer.model


@check
def rate_limit():
    def ask_often():
        for _ in range(3):
            _ask(api_key=LIMITED_KEY, max_tokens=1, max_retries=0)

    raised(litellm.RateLimitError, ask_often)


def _ask(messages=MESSAGES, **options):
    return litellm.completion(MODEL, messages, **{**SERVICE, **options})


def _ask_too_long():
    messages = [{"role": "user", "content": TOO_LONG}]
    litellm.completion(f"openai/{LOCAL_CHAT}", messages, api_base=LOCAL_URL, api_key=LOCAL_KEY)


def _text(answer):
    return answer.choices[0].message.content


if __name__ == "__main__":
    litellm.suppress_debug_info = True
    run("litellm")
