"""Counts tokens as OpenAI's cl100k_base does, without a call to a server."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module

from engine.process.offload import Offload
from engine.process.vocabulary import CountTokens, token_counter

SHORT = 20_000
"""Characters that are counted on the event loop: about 5 ms at 1.2 million tokens a second."""
PART = re.compile(r"(?s).{1,20000}(?= |\Z)|.{1,20000}")  # a thread holds Python for one at a time


class Tokenizer:
    """Token counts and texts. For providers that do not count themselves."""

    def __init__(self, count_tokens: CountTokens, offload: Offload) -> None:
        self._count_tokens = count_tokens
        self._offload = offload

    async def count(self, text: str) -> int:
        """Return the number of tokens; a long text is counted in a thread."""
        if len(text) <= SHORT:
            return self._count_tokens(text)
        return await self._offload.in_thread(self.count_blocking, text)

    def count_blocking(self, text: str) -> int:
        """Return the same, for work that is in a thread already."""
        return sum(map(self._count_tokens, PART.findall(text)))

    async def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids. Raise `ValueError` for an id that there is not."""
        if any(token < 0 for token in tokens):  # would count from the end of the vocabulary
            raise ValueError("Token ids are not negative.")
        try:
            return await self._offload.in_thread(_decode, tokens)
        except KeyError as error:
            raise ValueError(f"{error.args[0]}.") from error


@asynccontextmanager
async def open_tokenizer(offload: Offload) -> AsyncIterator[Tokenizer]:
    """Yield the tokenizer, loaded off the loop: it takes 0.04 s and 32 MB."""
    yield Tokenizer(await offload.in_thread(token_counter), offload)


def _decode(tokens: Sequence[int]) -> str:
    bpe_openai = import_module("bpe_openai")  # its first import takes 0.5 s and 70 MB
    decode: Callable[[Sequence[int]], str] = bpe_openai.get_encoding("cl100k_base").decode
    return decode(tokens)
