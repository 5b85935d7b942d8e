"""Tokens are counted as OpenAI counts them, and never hold the event loop for long."""

import threading
from collections.abc import Sequence

import pytest

from engine.process.offload import Offload
from engine.process.tokenizer import SHORT, Tokenizer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("Hello world", 2), ("antidisestablishmentarianism", 6), ("<|endoftext|>", 7)],
)
async def test_tokens_are_those_of_cl100k(tokenizer: Tokenizer, text: str, tokens: int) -> None:
    assert await tokenizer.count(text) == tokens


async def test_long_texts_count_like_short_ones(tokenizer: Tokenizer) -> None:
    assert await tokenizer.count("Hello world\n" * SHORT) == 3 * SHORT


@pytest.mark.parametrize(
    ("text", "tokens"), [("a " * 600_000, 600_001), ("Hello world. " * 100_000, 300_001)]
)
async def test_a_text_of_a_million_characters_is_counted(
    tokenizer: Tokenizer, text: str, tokens: int
) -> None:
    assert await tokenizer.count(text) == tokens


async def test_a_word_of_a_hundred_thousand_characters_is_counted(tokenizer: Tokenizer) -> None:
    assert await tokenizer.count("語" * 150_000) == 300_000


async def test_ids_become_text(tokenizer: Tokenizer) -> None:
    assert await tokenizer.decode([9906, 1917]) == "Hello world"


@pytest.mark.parametrize("token", [-1, 10**6, 2**63])
async def test_an_id_that_there_is_not_is_an_error(tokenizer: Tokenizer, token: int) -> None:
    with pytest.raises(ValueError, match=r"Token id"):
        await tokenizer.decode([token])


class Watched:
    """An encoding that notes where it is asked."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def encode_ordinary(self, text: str) -> list[int]:
        self.threads.append(threading.get_ident())
        return [0] * len(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return " " * len(tokens)


@pytest.mark.parametrize(("length", "on_the_loop"), [(SHORT, True), (SHORT + 1, False)])
async def test_only_short_texts_are_counted_on_the_loop(length: int, *, on_the_loop: bool) -> None:
    watched = Watched()
    assert await Tokenizer(watched, Offload(1, 1)).count("x" * length) == length
    assert (watched.threads == [threading.get_ident()]) is on_the_loop
