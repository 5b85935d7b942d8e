"""OpenAI's client searches a store as at OpenAI; a bad search names its field."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

TEXTS = {"fox.md": b"A fox has a red coat.", "ship.md": b"A ship has a keel and a mast."}


@pytest.fixture
def store(client: OpenAI) -> Iterator[str]:
    made = client.vector_stores.create(name="Handbook").id
    client.vector_stores.file_batches.create_and_poll(
        made,
        files=[
            {
                "file_id": client.files.create(file=(name, data), purpose="assistants").id,
                "attributes": {"kind": name.removesuffix(".md"), "bytes": len(data)},
            }
            for name, data in TEXTS.items()
        ],
    )
    yield made
    client.vector_stores.delete(made)


def names(client: OpenAI, store: str, query: str, **more: object) -> list[str]:
    page = client.vector_stores.search(store, query=query, extra_body=more)
    return [each.filename for each in page]


def test_a_search_is_one_page_of_chunks(client: OpenAI, store: str) -> None:
    page = client.vector_stores.search(store, query="A ship has a keel and a mast.")
    assert page.object == "vector_store.search_results.page"
    first, second = page.data
    assert (first.filename, first.content[0].text) == ("ship.md", TEXTS["ship.md"].decode())
    assert first.attributes == {"kind": "ship", "bytes": len(TEXTS["ship.md"])}
    assert first.score == pytest.approx(1.0)
    assert 0 <= second.score < 1
    assert not page.has_next_page()


def test_several_queries_are_one_search(client: OpenAI, store: str) -> None:
    queries = ["keel", "coat"]
    page = client.vector_stores.search(store, query=queries, rewrite_query=True)
    assert page.to_dict()["search_query"] == queries
    assert len(page.data) == 2


def test_a_search_is_bounded(client: OpenAI, store: str) -> None:
    assert len(names(client, store, "fox", max_num_results=1)) == 1


def test_filters_are_joined(client: OpenAI, store: str) -> None:
    wanted = {
        "type": "and",
        "filters": [
            {"type": "in", "key": "kind", "value": ["fox", "ship"]},
            {"type": "gt", "key": "bytes", "value": len(TEXTS["fox.md"])},
        ],
    }
    assert names(client, store, "fox", filters=wanted) == ["ship.md"]


def test_a_threshold_is_that_of_the_score(client: OpenAI, store: str) -> None:
    query = TEXTS["fox.md"].decode()
    options = {"ranker": "default-2024-11-15", "score_threshold": 0.9}
    assert names(client, store, query, ranking_options=options) == ["fox.md"]


def test_words_may_rank_alone(client: OpenAI, store: str) -> None:
    options = {"hybrid_search": {"embedding_weight": 0, "text_weight": 1}}
    assert names(client, store, "masts", ranking_options=options) == ["ship.md"]


def test_a_ranking_without_words_is_by_vectors_alone(client: OpenAI, store: str) -> None:
    options = {"ranker": "none", "hybrid_search": {"embedding_weight": 0, "text_weight": 1}}
    assert len(names(client, store, "masts", ranking_options=options)) == len(TEXTS)


@pytest.mark.parametrize(
    ("search", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"query": ["a"] * 6}, "query"),
        ({"query": "a\0b"}, "query"),
        ({"query": "a", "max_num_results": 51}, "max_num_results"),
        ({"query": "a", "max_num_results": 0}, "max_num_results"),
        ({"query": "a", "filters": {"type": "like"}}, "filters.type"),
        ({"query": "a", "ranking_options": {"score_threshold": 2}}, "ranking_options"),
        ({"query": "a", "ranking_options": {"ranker": "best"}}, "ranking_options"),
        (
            {
                "query": "a",
                "ranking_options": {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}},
            },
            "ranking_options.hybrid_search",
        ),
    ],
)
def test_a_bad_search_names_its_field(client: OpenAI, search: dict[str, Any], param: str) -> None:
    made = client.vector_stores.create().id
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.search(made, **search)
    assert str(caught.value.param).startswith(param)
