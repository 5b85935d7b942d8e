"""Conversations as the official client sees them, on a real server."""

import openai
import pytest
from openai import OpenAI
from openai.types.conversations import ConversationItem
from openai.types.responses import EasyInputMessageParam

from tests.service import Service

MODEL = "simulated-chat"


def said(text: str) -> EasyInputMessageParam:
    return {"type": "message", "role": "user", "content": text}


def text_of(item: ConversationItem) -> str:
    assert item.type == "message"
    part = item.content[0]
    assert part.type in {"input_text", "output_text"}
    return str(getattr(part, "text", None))


def test_a_conversation_is_made_read_labelled_and_deleted(client: OpenAI) -> None:
    made = client.conversations.create(metadata={"topic": "travel"})
    assert client.conversations.retrieve(made.id) == made
    labelled = client.conversations.update(made.id, metadata={"topic": "food"})
    assert labelled.metadata == {"topic": "food"}
    gone = client.conversations.delete(made.id)
    assert (gone.object, gone.deleted) == ("conversation.deleted", True)
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)


def test_each_turn_reads_what_came_before_and_adds_to_it(client: OpenAI) -> None:
    made = client.conversations.create(items=[said("My name is Ada.")])
    first = client.responses.create(model=MODEL, conversation=made.id, input="Hello")
    second = client.responses.create(model=MODEL, conversation={"id": made.id}, input="And?")
    assert first.conversation
    assert first.conversation.id == made.id
    assert first.usage
    assert second.usage
    assert second.usage.input_tokens > first.usage.input_tokens
    items = client.conversations.items.list(made.id, order="asc").data
    assert [text_of(each) for each in items] == [
        "My name is Ada.",
        "Hello",
        first.output_text,
        "And?",
        second.output_text,
    ]


def test_a_streamed_turn_is_kept_before_its_last_event(client: OpenAI) -> None:
    made = client.conversations.create()
    with client.responses.stream(model=MODEL, conversation=made.id, input="Hello") as stream:
        final = stream.get_final_response()
    newest = client.conversations.items.list(made.id, limit=1).data[0]
    assert text_of(newest) == final.output_text


def test_items_are_added_listed_in_pages_read_and_deleted(client: OpenAI) -> None:
    made = client.conversations.create(items=[said("0")])
    added = client.conversations.items.create(made.id, items=[said("1"), said("2")])
    assert [text_of(each) for each in added.data] == ["1", "2"]
    listed = client.conversations.items.list(made.id, limit=1)
    assert [text_of(each) for each in listed] == ["2", "1", "0"]
    assert added.last_id
    read = client.conversations.items.retrieve(added.last_id, conversation_id=made.id)
    assert text_of(read) == "2"
    left = client.conversations.items.delete(added.last_id, conversation_id=made.id)
    assert left == made
    items = client.conversations.items.list(made.id, order="asc").data
    assert [text_of(each) for each in items] == ["0", "1"]


def test_at_most_20_items_are_added_at_once(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.conversations.create(items=[said("Hello")] * 21)
    assert refused.value.param == "items"


def test_a_conversation_goes_on_at_its_end_alone(client: OpenAI) -> None:
    made = client.conversations.create()
    first = client.responses.create(model=MODEL, conversation=made.id, input="Hello")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(
            model=MODEL, conversation=made.id, previous_response_id=first.id, input="Again"
        )
    assert refused.value.param == "previous_response_id"


def test_another_callers_conversation_is_not_found(live: Service, client: OpenAI) -> None:
    made = client.conversations.create()
    with (
        live.client(live.new_key("stranger")) as stranger,
        pytest.raises(openai.NotFoundError) as refused,
    ):
        stranger.responses.create(model=MODEL, conversation=made.id, input="Hello")
    assert refused.value.param == "conversation"
