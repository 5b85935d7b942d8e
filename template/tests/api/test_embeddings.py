"""Embeddings as the official client sees them."""

import pytest
from openai import OpenAI

MODEL = "simulated-embeddings"


def test_floats_and_base64_carry_the_same_vectors(client: OpenAI) -> None:
    texts = ["one", "two"]
    as_base64 = client.embeddings.create(model=MODEL, input=texts)
    as_floats = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    for left, right in zip(as_base64.data, as_floats.data, strict=True):
        assert left.embedding == pytest.approx(right.embedding, abs=1e-6)


def test_inputs_may_be_text_texts_or_tokens(client: OpenAI) -> None:
    lengths = [
        len(client.embeddings.create(model=MODEL, input=each).data)
        for each in ("one", ["one", "two"], [9906], [[9906], [1917]])
    ]
    assert lengths == [1, 2, 1, 2]


def test_dimensions_are_a_choice(client: OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input="one", dimensions=64)
    assert len(answer.data[0].embedding) == 64
