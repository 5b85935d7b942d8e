"""Vectors are of one space: their model, their width, and the length 1."""

import base64
import json

import numpy as np
import pytest

from engine.documents.space import Space, read_vectors, space_named
from engine.errors import ModelUnavailable

SPACE = Space("m", 4, shortened=True)


def answer(*embeddings: object) -> bytes:
    data = [{"index": at, "embedding": each} for at, each in enumerate(embeddings)]
    return json.dumps({"data": data}).encode()


def packed(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


@pytest.mark.parametrize("space", [SPACE, Space("a/b", 256, shortened=False)])
def test_a_space_is_found_by_its_name(space: Space) -> None:
    assert space_named(space.name) == space


def test_vectors_have_the_length_1_in_the_order_of_their_texts() -> None:
    rows = [[0.0, 2.0, 0.0, 0.0], packed(3.0, 0.0, 4.0, 0.0)]
    body = json.loads(answer(*rows))
    body["data"].reverse()
    vectors = read_vectors(json.dumps(body).encode(), SPACE, 2)
    assert np.allclose(vectors, [[0.0, 1.0, 0.0, 0.0], [0.6, 0.0, 0.8, 0.0]])


def test_a_text_without_a_known_word_has_a_vector_of_zeros() -> None:
    assert not read_vectors(answer([0.0] * 4), SPACE, 1).any()


@pytest.mark.parametrize(
    "body",
    [
        answer([1.0] * 4),
        answer([1.0] * 4, [1.0] * 5),
        answer([1.0] * 4, packed(1.0, 1.0, 1.0, float("inf"))),
        answer([1.0] * 4, "AAA="),
        answer([1.0] * 4, None),
        answer([1.0] * 4, ["a"] * 4),
        b'{"data": [{"embedding": []}, {}]}',
        b'{"object": "list"}',
        b"[]",
        b"{",
    ],
    ids=[
        "too few",
        "width",
        "infinite",
        "half",
        "none",
        "words",
        "no index",
        "none",
        "list",
        "cut",
    ],
)
def test_vectors_that_do_not_fit_are_the_models_fault(body: bytes) -> None:
    with pytest.raises(ModelUnavailable):
        read_vectors(body, SPACE, 2)
