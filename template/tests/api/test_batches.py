"""Files and batches as the official client uses them, worked off by a separate worker."""

import openai
import pytest
from openai import OpenAI

from tests.batches import ended, lines_of, submit
from tests.lines import chat_body, chats, jsonl, line
from tests.service import Service


def test_every_line_is_answered_once_under_its_id(client: OpenAI) -> None:
    batch = ended(client, submit(client, chats(60)))
    assert batch.status == "completed"
    assert batch.request_counts
    assert batch.request_counts.model_dump() == {"total": 60, "completed": 60, "failed": 0}
    answers = lines_of(client, batch.output_file_id)
    assert sorted(answer["custom_id"] for answer in answers) == sorted(
        f"item-{number}" for number in range(60)
    )
    assert all(answer["response"]["status_code"] == 200 for answer in answers)
    assert batch.error_file_id is None


def test_a_line_gets_the_answer_that_a_request_gets(client: OpenAI) -> None:
    batch = ended(client, submit(client, jsonl([line("a", chat_body("Hello", seed=5))])))
    (answer,) = lines_of(client, batch.output_file_id)
    request = client.chat.completions.create(
        model="simulated-chat", messages=[{"role": "user", "content": "Hello"}], seed=5
    )
    text = answer["response"]["body"]["choices"][0]["message"]["content"]
    assert text == request.choices[0].message.content


def test_a_batch_tells_its_model_and_the_tokens_of_its_answers(client: OpenAI) -> None:
    batch = ended(client, submit(client, chats(3)))
    answers = lines_of(client, batch.output_file_id)
    used = [answer["response"]["body"]["usage"] for answer in answers]
    assert batch.model == "simulated-chat"
    assert batch.usage
    assert batch.usage.input_tokens == sum(each["prompt_tokens"] for each in used)
    assert batch.usage.output_tokens == sum(each["completion_tokens"] for each in used)
    assert batch.usage.total_tokens == sum(each["total_tokens"] for each in used)
    nothing_answers = chat_body("Hello") | {"model": "gpt-9"}
    unanswered = ended(client, submit(client, jsonl([line("wrong", nothing_answers)])))
    assert (unanswered.model, unanswered.usage) == (None, None)


def test_a_line_that_fails_stands_in_the_error_file(client: OpenAI) -> None:
    wrong = chat_body("Hello")
    wrong["model"] = "gpt-9"
    content = jsonl([line("good", chat_body("Hello")), line("wrong", wrong)])
    batch = ended(client, submit(client, content))
    assert batch.status == "completed"
    assert batch.request_counts
    assert batch.request_counts.model_dump() == {"total": 2, "completed": 1, "failed": 1}
    (failed,) = lines_of(client, batch.error_file_id)
    assert failed["custom_id"] == "wrong"
    assert failed["error"] is None
    assert failed["response"]["status_code"] == 404
    assert failed["response"]["body"]["error"]["code"] == "model_not_found"


def test_embeddings_are_batched_too(client: OpenAI) -> None:
    body = {"model": "simulated-embeddings", "input": "Hello"}
    content = jsonl([line("e", body, "/v1/embeddings")])
    batch = ended(client, submit(client, content, "/v1/embeddings"))
    (answer,) = lines_of(client, batch.output_file_id)
    assert len(answer["response"]["body"]["data"]) == 1


GOOD = line("good", chat_body("Hello"))
BAD_LINES = {
    "invalid_json_line": b"{\n",
    "invalid_method": jsonl([{**GOOD, "method": "GET"}]),
    "mismatched_url": jsonl([{**GOOD, "url": "/v1/embeddings"}]),
    "duplicate_custom_id": jsonl([GOOD]),
    "invalid_custom_id": jsonl([{**GOOD, "custom_id": ""}]),
    "invalid_request": jsonl([{**GOOD, "custom_id": "x", "body": {"model": "m"}}]),
}


@pytest.mark.parametrize("code", BAD_LINES)
def test_a_bad_line_fails_the_batch_by_its_number_and_nothing_runs(
    client: OpenAI, code: str
) -> None:
    batch = ended(client, submit(client, jsonl([GOOD]) + BAD_LINES[code]))
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    assert [(error.code, error.line) for error in batch.errors.data] == [(code, 2)]
    assert batch.output_file_id is None


def test_a_file_without_lines_fails_the_batch(client: OpenAI) -> None:
    batch = ended(client, submit(client, b"\n\n"))
    assert batch.errors
    assert batch.errors.data
    assert [error.code for error in batch.errors.data] == ["empty_file"]


def test_batches_are_listed_newest_first_in_pages(live: Service) -> None:
    with live.client(live.new_key("lister")) as client:
        made = [ended(client, submit(client, chats(1))).id for _ in range(3)]
        first = client.batches.list(limit=2)
        assert [batch.id for batch in first.data] == made[:0:-1]
        assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]


def test_an_unknown_endpoint_is_refused_and_the_known_ones_are_named(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="/v1/chat/completions"):
        submit(client, chats(1), "/v1/audio")


def test_a_finished_batch_cannot_be_cancelled(client: OpenAI) -> None:
    batch = ended(client, submit(client, chats(1)))
    with pytest.raises(openai.ConflictError) as caught:
        client.batches.cancel(batch.id)
    assert caught.value.response.headers["x-should-retry"] == "false"
