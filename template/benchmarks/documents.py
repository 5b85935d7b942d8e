"""How long a search takes in a large vector store, and how often it finds the answer.

Texts are of drawn words and vectors are drawn, so figures are those of the databases and of the
arithmetic; the time of the simulated model, with its slot, is in each of them. The second table
asks questions about the language reference that comes with Python, by the local model.
"""

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median, quantiles

import numpy as np

from app.resources.lifespan import Resources, open_resources
from app.settings import Settings
from benchmarks.upload import say
from engine.documents.extract.chunks import ChunkStrategy, Piece, pack_chunks
from engine.documents.resource import documents_of
from engine.documents.search import Ranking, search_store
from engine.documents.space import Space, Vectors, embed_texts
from tests.documents.stocked import SPACE, Stocked, file_row, fill, stock
from tests.isolation import own_folder
from tests.owing import add_caller
from tests.servers import EmbeddedRedis, Postgres, running
from tests.tables import make_tables, new_database

FILE = 1000
"""Chunks of one file."""

WORDS = 140
"""Words of a chunk, which has about 900 characters."""

VOCABULARY = 30_000
ASKED = 4
"""Words of a query, all of one chunk."""

WAYS = {
    "vectors": Ranking(weights=(1.0, 0.0)),
    "words": Ranking(weights=(0.0, 1.0)),
    "both": Ranking(),
}
FIRST = 5

QUESTIONS = """
assert|How do I make my program stop with an error if a condition I believe in does not hold?
assignment|Can I unpack a tuple into several variables at once, and how does += work?
async|How do I write a coroutine that can suspend itself?
break,for,while|How can I leave a loop early?
continue,for,while|Skip the rest of this iteration and go on with the next one
class|Defining your own type with inheritance and decorators
calls|Passing keyword arguments and unpacking a list into positional parameters
comparisons|May I write a < b < c, and what does identity mean as opposed to equality?
context-managers,with|What are __enter__ and __exit__ for?
customization|Which method is called when an object is printed or compared or hashed?
debugger|How do I step through my code line by line and set breakpoints?
del|Remove a name or an element of a list
dict,typesmapping|How are key value pairs stored and iterated in insertion order?
exceptions,try,execmodel|What happens when an error is not handled anywhere?
naming,execmodel|How does the interpreter resolve which variable a name refers to?
formatstrings|The mini language to align, pad and round numbers in text output
function|Default parameter values are evaluated once: mutable default pitfalls
global|Change a module level variable from inside a function
nonlocal|Rebind a variable of the enclosing function
identifiers|Which characters may a variable name have, and which words are reserved?
import|How are modules found and loaded, and what does relative loading with dots mean?
in,comparisons|Test whether a container has a member
integers,numbers|How do I write hexadecimal or binary literals, with underscores?
imaginary,numbers|Literals of complex numbers
lambda|A small anonymous function in one expression
lists|Square brackets with a for clause inside: comprehension
numeric-types|Emulate arithmetic: overload plus and times for my own type
operator-summary|Which binds tighter, not or and, exponent or minus?
pass|A statement that does nothing, as a placeholder
power|Exponentiation with two stars and its binding
raise|Signal that an error condition occurred, chaining with from
return|Give back a value to the caller
sequence-types|Emulate a container: which methods support len and indexing?
shifting|Move bits to the left or right
slicings|Take a part of a list with start, stop and step
string-methods|Split text at a separator, strip whitespace, change to upper case
strings|Raw and triple quoted text, escape sequences such as newline
truth|Which objects count as false in a condition?
try|Run clean-up code whether or not an error occurred
typesseq-mutable|Append, extend, insert and sort in place
typesseq|Operations common to tuples, lists and ranges such as concatenation
yield|Produce values lazily, one at a time, from a generator
unary|Invert all bits or negate a number
attribute-access|What is called when an attribute is missing; descriptors
"""


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000, help="chunks of the store")
    parser.add_argument("--searches", type=int, default=200, help="searches of each way")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL instead of SQLite")
    options = parser.parse_args()
    logging.getLogger("engine").setLevel(logging.ERROR)  # the watchdog tells what filling takes
    for run in (partial(times, chunks=options.chunks, searches=options.searches), recall):
        with settings(on_postgres=options.postgres) as own:
            asyncio.run(run(own))


async def times(own: Settings, *, chunks: int, searches: int) -> None:
    """Print what a search takes, with and without vectors in memory."""
    async with open_resources(own) as resources:
        store = await filled(await of_a_caller(resources, SPACE), chunks)
        queries = [query_of(number) for number in range(searches)]
        say(f"search in {chunks} chunks", "p50 ms", "p99 ms", "max ms")
        row("  its query embedded", await timed(partial(embedded, store), queries))
        for name, ranking in WAYS.items():
            took = await timed(partial(found, store, ranking), queries)
            row(f"  {name}, pages in memory", took[1:])  # the first one reads pages
        documents_of(resources).pages = type(documents_of(resources).pages)(0)
        row("  both, pages read", await timed(partial(found, store, WAYS["both"]), queries[:40]))


async def recall(own: Settings) -> None:
    """Print how many questions find their topic among the first five."""
    asked = [line.split("|") for line in QUESTIONS.strip().splitlines()]
    known = [(set(names.split(",")), text) for names, text in asked]
    known = [(names, text) for names, text in known if names & topics.keys()]
    async with open_resources(own.model_copy(update={"model_provider": "local"})) as resources:
        say(f"{len(known)} questions of {len(topics)} topics", *WAYS)
        for strategy in (ChunkStrategy(100, 50), ChunkStrategy(400, 200), ChunkStrategy()):
            space = Space("wordllama-256", 256, shortened=True)
            store = await of_a_caller(resources, space, f"caller_{strategy.max_tokens}")
            for name, text in topics.items():
                cut = pack_chunks([Piece(text)], strategy, resources.tokenizer.count_blocking)
                await store.add(*(chunk.text for chunk in cut), attributes={"topic": name})
            shares = [await share_found(store, known, ranking) for ranking in WAYS.values()]
            name = f"  chunks of {strategy.max_tokens}, {strategy.overlap}"
            say(name, *(f"{share:.3f}" for share in shares))


async def share_found(store: Stocked, known: list[tuple[set[str], str]], ranking: Ranking) -> float:
    """Return the share of questions that find one of their topics."""
    count = 0
    for names, question in known:
        hits = await search_store(store.model, store.id, [question], most=50, ranking=ranking)
        first = list(dict.fromkeys(str(hit.attributes["topic"]) for hit in hits))[:FIRST]
        count += bool(names & set(first))
    return count / len(known)


async def filled(store: Stocked, chunks: int) -> Stocked:
    """Fill a store with files of drawn words and vectors."""
    began = time.perf_counter()
    for first in range(0, chunks, FILE):
        count = min(FILE, chunks - first)
        texts = [text_of(number) for number in range(first, first + count)]
        row_of_file = file_row(store, {}, "completed")
        vectors = drawn_vectors(first, count)
        await store.resources.database.write(fill, row_of_file, SPACE, texts, vectors)
    say("store filled", "s", "µs/chunk")
    took = time.perf_counter() - began
    say("  chunks, words and vectors", f"{took:.0f}", f"{1e6 * took / chunks:.0f}")
    return store


async def found(store: Stocked, ranking: Ranking, query: str) -> None:
    """Search once."""
    assert await search_store(store.model, store.id, [query], most=50, ranking=ranking)


async def embedded(store: Stocked, query: str) -> None:
    """Ask the model for the vector of a query, as each search does."""
    await embed_texts(store.model, store.space, [query])


async def timed(act: Callable[[str], Awaitable[None]], queries: list[str]) -> list[float]:
    """Return the seconds that each query took."""
    took = []
    for query in queries:
        began = time.perf_counter()
        await act(query)
        took.append(time.perf_counter() - began)
    return took


def row(name: str, took: list[float]) -> None:
    """Print times."""
    p99 = quantiles(took, n=100)[98]
    say(name, f"{1e3 * median(took):.0f}", f"{1e3 * p99:.0f}", f"{1e3 * max(took):.0f}")


def text_of(number: int) -> str:
    """Return the text of a chunk: words as often as in a language, by Zipf's law."""
    drawn = np.random.default_rng(number).random(WORDS)
    return " ".join(NAMES[at] for at in np.searchsorted(SHARES, drawn))


def query_of(number: int) -> str:
    """Return words of one chunk."""
    words = text_of(number * 7).split()
    return " ".join(dict.fromkeys(words[-ASKED:]))


def word_of(rank: int) -> str:
    """Return a word; no two ranks have the same one."""
    letters, rest = [], rank
    while rest:
        rest, at = divmod(rest, 70)
        letters.append("bdfgklmnprstvz"[at % 14] + "aeiou"[at // 14])
    return "".join(letters) + "x"


NAMES = [word_of(rank) for rank in range(1, VOCABULARY + 1)]
SHARES = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
SHARES /= SHARES[-1]


def drawn_vectors(first: int, count: int) -> Vectors:
    """Return vectors of length 1."""
    drawn = np.random.default_rng(first).standard_normal((count, SPACE.dimensions))
    normal: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype("<f4")
    return normal


async def of_a_caller(resources: Resources, space: Space, name: str = "caller") -> Stocked:
    """Return the store of a new caller."""
    return await stock(resources, await resources.database.write(add_caller, name), space)


@contextmanager
def settings(*, on_postgres: bool) -> Iterator[Settings]:
    """Yield the settings of an app with servers and tables of its own."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        own_folder(folders[0])
        url = f"sqlite:///{folders[0] / 'app.db'}"
        if on_postgres:
            url = asyncio.run(new_database(stack.enter_context(running(Postgres(folders[1]))).url))
        own = Settings(
            _env_file=None,
            database_url=url,
            redis_url=stack.enter_context(running(EmbeddedRedis(folders[0]))).url,
            model_provider="simulated",
            simulated_latency=0,
        )
        asyncio.run(make_tables(own))
        yield own


if __name__ == "__main__":
    main()
