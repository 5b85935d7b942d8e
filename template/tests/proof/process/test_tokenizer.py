"""Tokens are counted as OpenAI counts them, and never hold the event loop for long."""

import threading

import bpe_openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.process.offload import Offload
from engine.process.tokenizer import SHORT, Tokenizer, token_counter

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


@given(text=st.text(st.characters()))
def test_a_text_counts_as_in_the_library(text: str) -> None:
    assert token_counter()(text) == len(
        bpe_openai.get_encoding("cl100k_base").encode_ordinary(text)
    )


@pytest.mark.parametrize("text", ["\ud83d", "a\udd8a b", "\ud83d\udd8a"])
async def test_half_a_pair_counts_as_in_the_library(tokenizer: Tokenizer, text: str) -> None:
    encoding = bpe_openai.get_encoding("cl100k_base")
    assert await tokenizer.count(text) == len(encoding.encode_ordinary(text))


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


@pytest.mark.parametrize(("length", "on_the_loop"), [(SHORT, True), (SHORT + 1, False)])
async def test_only_short_texts_are_counted_on_the_loop(length: int, *, on_the_loop: bool) -> None:
    threads = []

    def count(text: str) -> int:
        threads.append(threading.get_ident())
        return len(text)

    assert await Tokenizer(count, Offload(1, 1)).count("x" * length) == length
    assert (threads == [threading.get_ident()]) is on_the_loop
