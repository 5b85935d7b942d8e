"""LlamaIndex with its classes for services that speak like OpenAI's."""

import openai
from checks import (
    CHAT,
    DIMENSIONS,
    EMBEDDINGS,
    KEY,
    LIMITED_KEY,
    LOCAL_CHAT,
    LOCAL_KEY,
    LOCAL_URL,
    TOO_LONG,
    URL,
    check,
    raised,
    run,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

HELLO = [ChatMessage(role="user", content="Hello")]


class City(BaseModel):
    name: str
    people: int


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"Sun in {city}"


TOOL = FunctionTool.from_defaults(fn=weather)


@check
def chat():
    answer = _model().chat(HELLO)
    assert answer.message.content
    assert answer.raw.usage.total_tokens > 0


@check
async def chat_asynchronous():
    assert (await _model().achat(HELLO)).message.content == _whole()


@check
def stream():
    assert "".join(part.delta or "" for part in _model().stream_chat(HELLO)) == _whole()


@check
def stream_usage():
    model = _model(additional_kwargs={"stream_options": {"include_usage": True}})
    assert list(model.stream_chat(HELLO))[-1].raw.usage.completion_tokens > 0


@check
def tool_forced():
    answer = _model().chat_with_tools([TOOL], user_msg="Hello", tool_required=True)
    assert _model().get_tool_calls_from_response(answer)[0].tool_name == "weather"


@check
def tool_auto():
    answer = _model().predict_and_call([TOOL], user_msg="How is the weather in Rome?")
    assert answer.sources[0].tool_name == "weather"


@check
def json_schema():
    model = _model(should_use_structured_outputs=True)
    assert isinstance(model.structured_predict(City, PromptTemplate("Name a city.")), City)


@check
def json_by_tool():
    assert isinstance(_model().structured_predict(City, PromptTemplate("Name a city.")), City)


@check
def embeddings():
    model = OpenAILikeEmbedding(model_name=EMBEDDINGS, api_base=URL, api_key=KEY)
    vectors = model.get_text_embedding_batch(["one", "two"])
    assert [len(vector) for vector in vectors] == [DIMENSIONS] * 2


@check
def completions_of_old():
    model = _model(is_chat_model=False)
    whole = model.complete("Hello").text
    assert whole
    assert "".join(part.delta or "" for part in model.stream_complete("Hello")) == whole


@check
def wrong_key():
    raised(openai.AuthenticationError, lambda: _model(api_key="sk-wrong").chat(HELLO))


@check
def unknown_model():
    raised(openai.NotFoundError, lambda: _model(model="gpt-99").chat(HELLO))


@check
def context_too_long():
    local = _model(model=LOCAL_CHAT, api_base=LOCAL_URL, api_key=LOCAL_KEY)
    messages = [ChatMessage(role="user", content=TOO_LONG)]
    error = raised(openai.BadRequestError, lambda: local.chat(messages))
    assert error.code == "context_length_exceeded", error.code


@check
def rate_limit():
    limited = _model(api_key=LIMITED_KEY, max_retries=0)
    raised(openai.RateLimitError, lambda: [limited.chat(HELLO) for _ in range(3)])


def _model(**options):
    service = {"model": CHAT, "api_base": URL, "api_key": KEY}
    kind = {"is_chat_model": True, "is_function_calling_model": True}
    return OpenAILike(**{**service, **kind, **options})


def _whole():
    return _model().chat(HELLO).message.content


if __name__ == "__main__":
    run("llama-index-llms-openai-like")
