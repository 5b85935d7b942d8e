"""Counts tokens as OpenAI's cl100k_base does, without a call to a server."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a process that only counts, such as one for a document, loads no more
    from engine.process.offload import Offload

CountTokens = Callable[[str], int]
SHORT = 20_000
"""Characters that are counted on the event loop: about 5 ms at 1.2 million tokens a second."""
PART = re.compile(r"(?s).{1,20000}(?= |\Z)|.{1,20000}")  # a thread holds Python for one at a time


class Tokenizer:
    """Token counts and texts. For providers that do not count themselves."""

    def __init__(self, count_tokens: CountTokens, offload: "Offload") -> None:
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
            return await self._offload.in_thread(lambda: _decoder()(tokens))
        except KeyError as error:
            raise ValueError(f"{error.args[0]}.") from error


@asynccontextmanager
async def open_tokenizer(offload: "Offload") -> AsyncIterator[Tokenizer]:
    """Yield the tokenizer, loaded off the loop: it takes 0.04 s and 32 MB."""
    yield Tokenizer(await offload.in_thread(token_counter), offload)


def token_counter() -> CountTokens:
    """Return what counts tokens of cl100k_base. Raise `ImportError` where the library is missing.

    The module `bpe_openai` reads all of its vocabularies: 0.5 s of the processor and 70 MB for each
    process. So only the extension in its folder is loaded, which takes 0.03 s.
    """
    package = find_spec("bpe_openai")
    places = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec("_bindings", places or [])
    if spec is None or spec.loader is None:
        raise ImportError("There is no bpe_openai with its extension")
    bindings = module_from_spec(spec)
    spec.loader.exec_module(bindings)
    count: CountTokens = bindings.tokenizer_for_encoding("cl100k_base").count
    # Half a pair, which JSON can have, is no text of UTF-8.
    return lambda text: count(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


@cache
def _decoder() -> Callable[[Sequence[int]], str]:
    bpe_openai = import_module("bpe_openai")  # it takes 0.5 s and 70 MB
    decode: Callable[[Sequence[int]], str] = bpe_openai.get_encoding("cl100k_base").decode
    return decode
