"""The vocabulary of cl100k_base, as much of it as counting takes."""

from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec

CountTokens = Callable[[str], int]


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

    def count_tokens(text: str) -> int:
        try:
            return count(text)
        except UnicodeEncodeError:  # half a pair, which JSON can have
            return count(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    return count_tokens
