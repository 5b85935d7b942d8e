"""The recipe of a file's chunks: all that decides where one ends."""

from importlib.metadata import PackageNotFoundError, version

from engine.documents.extract.chunks import VERSION, ChunkStrategy

LIBRARIES = ("bpe-openai", "pypdfium2")


def recipe_of(strategy: ChunkStrategy) -> str:
    """Return the same text for the same chunks: reading and packing have no chance in them."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return f"{strategy.max_tokens}/{strategy.overlap}, rules {VERSION}, {libraries}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
