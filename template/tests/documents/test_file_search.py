"""The tool `file_search`: responses and agents cite the files of their caller."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response

from tests.documents import files, librarian
from tests.service import Service, eventually, service
from tests.upstream import serving_in_thread

AGENT = """
from engine.agents.agent import Agent
from engine.documents.agent_tool import file_search

AGENT = Agent("reader", instructions="Answer from the documents.", tools=[file_search("Handbook")])
"""
LEAVE = b"Leave: each year has thirty days of leave, of which ten may be kept for the next year."
FIRE = b"Fire: leave the house by the stairs and wait at the gate. Count your colleagues there."
QUESTION = "How many days of leave does a year have?"
TEXT = "It is so. Not [9999] or [x]."
WAIT = 60.0


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose model cites the first source that it is shown."""
    folder, modules = tmp_path_factory.mktemp("reading"), tmp_path_factory.mktemp("modules")
    (modules / "reader.py").write_text(AGENT)
    on_sqlite = request.param == "sqlite"
    servers = [request.getfixturevalue("redis_url" if on_sqlite else "tcp_redis_url")]
    servers += [] if on_sqlite else [request.getfixturevalue("postgres_url")]
    settings: dict[str, Any] = {"modules": modules, "model_provider": "openai"}
    settings |= {"document_model": "librarian", "default_model": "librarian"}
    settings |= {"openai_responses": "chat"}
    with (
        serving_in_thread(librarian.answer) as upstream,
        service(folder, *servers, openai_base_url=upstream, **settings) as ready,
    ):
        ready.start("api", "worker")
        yield ready


@pytest.fixture
def reader(served: Service) -> OpenAI:
    return served.client(served.new_key(), max_retries=0)


@pytest.fixture
def store(reader: OpenAI) -> str:
    """A store with two files."""
    made = reader.vector_stores.create(name="Handbook")
    batch = reader.vector_stores.file_batches.upload_and_poll(
        vector_store_id=made.id, files=[("leave.md", LEAVE), ("fire.md", FIRE)]
    )
    assert batch.file_counts.completed == 2
    return made.id


def citations(response: Response) -> list[tuple[str, int]]:
    """Return the names of the cited files, with the places in the text."""
    return [
        (each.filename, each.index)
        for item in response.output
        if item.type == "message"
        for part in item.content
        if part.type == "output_text"
        for each in part.annotations
        if each.type == "file_citation"
    ]


def searching(store: str, **more: object) -> list[Any]:
    return [{"type": "file_search", "vector_store_ids": [store], **more}]


def test_a_response_cites_the_file_that_it_was_shown(reader: OpenAI, store: str) -> None:
    response = reader.responses.create(model="librarian", input=QUESTION, tools=searching(store))
    call: Any = response.output[0]
    message: Any = response.output[1]
    assert (call.type, call.status) == ("file_search_call", "completed")
    assert call.queries == [QUESTION]
    assert call.results is None
    assert message.type == "message"
    assert response.output_text == TEXT
    assert citations(response) == [("leave.md", len("It is so"))]


def test_results_are_shown_where_they_are_asked_for(reader: OpenAI, store: str) -> None:
    response = reader.responses.create(
        model="librarian",
        input=QUESTION,
        tools=searching(store, max_num_results=1),
        include=["file_search_call.results"],
    )
    call: Any = response.output[0]
    assert call.type == "file_search_call"
    assert call.results
    assert [(each.filename, each.text) for each in call.results] == [("leave.md", LEAVE.decode())]


def test_a_stream_tells_of_the_search_and_of_each_citation(reader: OpenAI, store: str) -> None:
    with reader.responses.stream(
        model="librarian", input=QUESTION, tools=searching(store)
    ) as stream:
        events = list(stream)
        response = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:7] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
    ]
    assert kinds.count("response.output_text.annotation.added") == 1
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == response.output_text == TEXT
    assert citations(response) == [("leave.md", len("It is so"))]


def test_a_background_response_searches_too(reader: OpenAI, store: str) -> None:
    started = reader.responses.create(
        model="librarian", input=QUESTION, tools=searching(store), background=True
    )
    eventually(lambda: reader.responses.retrieve(started.id).status == "completed")
    assert citations(reader.responses.retrieve(started.id)) == [("leave.md", len("It is so"))]


def test_the_next_turn_reads_the_answer_and_not_the_search(reader: OpenAI, store: str) -> None:
    first = reader.responses.create(model="librarian", input=QUESTION, tools=searching(store))
    second = reader.responses.create(
        model="librarian", input="And after a fire?", previous_response_id=first.id
    )
    assert second.output_text == "I do not know."


def test_a_filter_chooses_the_files(reader: OpenAI, store: str) -> None:
    listed = reader.vector_stores.files.list(store)
    fire = next(each for each in listed if reader.files.retrieve(each.id).filename == "fire.md")
    reader.vector_stores.files.update(fire.id, vector_store_id=store, attributes={"about": "fire"})
    only = {"type": "eq", "key": "about", "value": "fire"}
    response = reader.responses.create(
        model="librarian", input=QUESTION, tools=searching(store, filters=only)
    )
    assert [name for name, _ in citations(response)] == ["fire.md"]


def test_a_tool_that_may_not_be_used_searches_nothing(reader: OpenAI, store: str) -> None:
    response = reader.responses.create(
        model="librarian", input=QUESTION, tools=searching(store), tool_choice="none"
    )
    assert [item.type for item in response.output] == ["message"]


@pytest.mark.parametrize("how", [{}, {"stream": True}, {"background": True}])
def test_the_store_of_another_caller_is_not_found(
    served: Service, store: str, how: dict[str, Any]
) -> None:
    with (
        served.client(served.new_key("stranger"), max_retries=0) as stranger,
        pytest.raises(openai.NotFoundError, match=store),
    ):
        stranger.responses.create(model="librarian", input=QUESTION, tools=searching(store), **how)


def test_a_malformed_tool_names_its_place(reader: OpenAI) -> None:
    tool: Any = {"type": "file_search"}
    with pytest.raises(openai.BadRequestError) as caught:
        reader.responses.create(model="librarian", input=QUESTION, tools=[tool])
    assert caught.value.param == "tools[0].vector_store_ids"


def test_an_agent_searches_and_cites(reader: OpenAI, store: str) -> None:
    response = reader.responses.create(model="reader", input=QUESTION)
    call: Any = response.output[0]
    assert call.type == "mcp_call"
    assert call.output
    assert "thirty days" in call.output
    assert response.output_text == TEXT
    assert [name for name, _ in citations(response)] == ["leave.md"]


def test_an_agents_stream_tells_of_its_citations(reader: OpenAI, store: str) -> None:
    events = list(reader.responses.create(model="reader", input=QUESTION, stream=True))
    added = [each for each in events if each.type == "response.output_text.annotation.added"]
    assert len(added) == 1
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == TEXT


def test_an_agent_searches_the_stores_of_its_own_caller_alone(
    served: Service, reader: OpenAI, store: str
) -> None:
    with served.client(served.new_key("stranger"), max_retries=0) as stranger:
        response = stranger.responses.create(model="reader", input=QUESTION)
    call: Any = response.output[0]
    assert call.type == "mcp_call"
    assert call.output == "The caller has no vector store called Handbook."
    assert response.output_text == "I do not know."


def test_sources_that_do_not_fit_are_left_out(reader: OpenAI, store: str) -> None:
    long = b"".join(files.long_text(80_000))
    file = reader.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("long.md", long), max_wait_seconds=WAIT
    )
    assert file.status == "completed"
    response = reader.responses.create(
        model="librarian",
        input="The quick brown fox",
        tools=searching(store, max_num_results=20),
        include=["file_search_call.results"],
    )
    call: Any = response.output[0]
    assert 0 < len(call.results) < 12  # of 800 tokens each, into 8,000
