"""Completions of prompts: put together of chats, or passed on to a server that knows them."""

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from tests.batches import ended, lines_of, submit
from tests.lines import jsonl, line
from tests.service import Service, service

MODEL, URL = "simulated-chat", "/v1/completions"


@pytest.fixture(scope="module", params=["own", "passed on"])
def provider(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service with the simulated model, and one whose model is that service."""
    live: Service = request.getfixturevalue("on_sqlite")
    if request.param == "own":
        yield live
        return
    folder, key = tmp_path_factory.mktemp("passing"), live.new_key("upstream")
    with service(
        folder,
        redis_url,
        model_provider="openai",
        openai_base_url=f"{live.url}/v1",
        openai_api_key=key,
    ) as passing:
        passing.start("api")
        yield passing


@pytest.fixture
def client(provider: Service) -> Iterator[OpenAI]:
    with provider.client(provider.new_key(), max_retries=0) as official:
        yield official


def test_a_whole_completion_has_text_usage_and_a_reason_to_end(client: OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt="Once", max_tokens=5)
    assert (answer.object, answer.id[:5]) == ("text_completion", "cmpl-")
    (choice,) = answer.choices
    assert (choice.finish_reason, len(choice.text.split())) == ("length", 5)
    assert answer.usage
    assert answer.usage.completion_tokens == 5


def test_a_stream_has_the_same_text_and_the_usage_last(client: OpenAI) -> None:
    whole = client.completions.create(model=MODEL, prompt="Once", max_tokens=5)
    chunks = list(
        client.completions.create(
            model=MODEL,
            prompt="Once",
            max_tokens=5,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *pieces, last = chunks
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text
    assert pieces[-1].choices[0].finish_reason == "length"
    assert (last.choices, last.usage) == ([], whole.usage)


@pytest.mark.parametrize("stream", [False, True])
def test_each_prompt_has_its_choices_in_order(client: OpenAI, *, stream: bool) -> None:
    prompts = ["One", "Two"]
    alone = [client.completions.create(model=MODEL, prompt=each, n=2) for each in prompts]
    expected = [choice.text for answer in alone for choice in answer.choices]
    together = client.completions.create(model=MODEL, prompt=prompts, n=2, stream=stream)
    texts = dict.fromkeys(range(4), "")
    for answer in together if isinstance(together, openai.Stream) else [together]:
        for choice in answer.choices:
            texts[choice.index] += choice.text
    assert list(texts.values()) == expected


def test_a_prompt_of_token_ids_is_its_text(client: OpenAI) -> None:
    answers = [
        client.completions.create(model=MODEL, prompt=prompt) for prompt in ("Hello", [9906])
    ]
    assert answers[0].choices == answers[1].choices


@pytest.mark.parametrize("stream", [False, True])
def test_the_prompt_is_repeated_where_that_is_asked_for(client: OpenAI, *, stream: bool) -> None:
    answer = client.completions.create(
        model=MODEL, prompt="Once", max_tokens=1, echo=True, stream=stream
    )
    answers = answer if isinstance(answer, openai.Stream) else [answer]
    text = "".join(each.choices[0].text for each in answers)
    assert text.startswith("Once")
    assert len(text) > len("Once")


def test_nothing_of_a_stop_is_shown(client: OpenAI) -> None:
    text = client.completions.create(model=MODEL, prompt="Once").choices[0].text
    stopped = client.completions.create(model=MODEL, prompt="Once", stop=text[5:9]).choices[0]
    assert (stopped.text, stopped.finish_reason) == (text[:5], "stop")


def test_log_probabilities_are_in_their_older_form(client: OpenAI) -> None:
    choice = client.completions.create(
        model=MODEL, prompt="Once", max_tokens=3, logprobs=2
    ).choices[0]
    logprobs = choice.logprobs
    assert logprobs
    assert logprobs.tokens
    assert "".join(logprobs.tokens) == choice.text
    assert logprobs.text_offset == [choice.text.index(token) for token in logprobs.tokens]
    assert [len(top) for top in logprobs.top_logprobs or []] == [2, 2, 2]


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("suffix", {"suffix": "x"}),
        ("best_of", {"best_of": 3}),
        ("echo", {"echo": True, "logprobs": 1}),
        ("prompt", {"prompt": ["x"] * 129}),
        ("prompt", {"prompt": [10**9]}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_parameter_without_effect_is_refused_by_name(
    provider: Service, param: str, fields: dict[str, object], *, stream: bool
) -> None:
    body = {"model": MODEL, "prompt": "Once", "stream": stream, **fields}
    with provider.http(provider.new_key()) as http:
        answer = http.post(URL, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_batch_may_be_of_completions(on_sqlite: Service) -> None:
    content = jsonl([line("1", {"model": MODEL, "prompt": ["One", "Two"]}, URL)])
    with on_sqlite.client(on_sqlite.new_key()) as client:
        batch = ended(client, submit(client, content, URL))
        (result,) = lines_of(client, batch.output_file_id)
    assert len(result["response"]["body"]["choices"]) == 2
