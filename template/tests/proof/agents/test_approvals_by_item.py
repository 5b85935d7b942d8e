"""Answers to requests for approvals that stand in the input as items, as AI SDK sends them."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from engine.models.wire import Json
from tests.proof.agents.scripted import script
from tests.service import Service, service

ASKING = script([("refund", {"order": 1, "cents": 3})], "It is paid.")


@pytest.fixture(scope="module")
def served(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the agent `refunds`."""
    with service(
        tmp_path_factory.mktemp("agents"),
        redis_url,
        modules=Path("tests/proof/agents/modules"),
        model_provider="tests.proof.agents.scripted",
    ) as started:
        started.start("api", "worker")
        yield started


@pytest.fixture
def client(served: Service) -> Iterator[OpenAI]:
    """The official client of a caller."""
    with served.client(served.new_key(), max_retries=0) as client:
        yield client


def requested(client: OpenAI) -> Json:
    """Return a request for an approval, as an item."""
    (item,) = client.responses.create(model="refunds", input=ASKING).output
    return item.to_dict()


def approved(request_id: object) -> Json:
    return {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": True}


def answered(client: OpenAI, *items: Json) -> str:
    """Return the text of the response to a question, these items and the approval of the first."""
    question = {"role": "user", "content": ASKING}
    given = [question, *items, approved(items[0]["id"])]
    return client.responses.create(model="refunds", input=given).output_text  # type: ignore[arg-type]


def test_an_approval_may_stand_behind_a_reference_to_its_request(client: OpenAI) -> None:
    request = requested(client)
    reference = {"type": "item_reference", "id": request["id"]}
    assert answered(client, reference) == "It is paid."


def test_an_approval_may_stand_behind_its_request(client: OpenAI) -> None:
    assert answered(client, requested(client)) == "It is paid."


def test_an_approval_behind_an_item_has_one_answer(client: OpenAI) -> None:
    request = requested(client)
    answered(client, request)
    with pytest.raises(openai.BadRequestError, match="has been answered already"):
        answered(client, request)


def test_a_request_of_another_caller_is_not_found(served: Service, client: OpenAI) -> None:
    request = requested(client)
    other = served.client(served.new_key("other"), max_retries=0)
    with other, pytest.raises(openai.BadRequestError) as raised:
        answered(other, request)
    assert raised.value.code == "approval_request_not_found"
