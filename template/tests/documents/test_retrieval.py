"""Questions find the notes that answer them, by meaning, by words and by both, as often as before.

`expected.json` has the number of questions whose note is among the first five, by database and way.
A change for the better is written there.
"""

import random
import tomllib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from app.resources.lifespan import Resources, open_resources
from app.settings import Settings
from engine.documents.extract.chunks import ChunkStrategy, Piece, pack_chunks
from engine.documents.search import Ranking, search_store
from engine.documents.space import Space
from tests.documents.stocked import Stocked, stock
from tests.owing import add_caller

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent / "retrieval"
LOST = 2
"""Questions that a change may lose: fewer are chance."""

FIRST = 5
WAYS = {
    "vectors": Ranking(weights=(1.0, 0.0)),
    "words": Ranking(weights=(0.0, 1.0)),
    "both": Ranking(),
}
SMALL = ChunkStrategy(max_tokens=100, overlap=50)
"""The smallest chunks: each note has several, so that where one ends matters."""


class Note(msgspec.Struct):
    """A note, with a question that it answers in other words."""

    question: str
    text: str


@dataclass(frozen=True, slots=True)
class Library:
    """Notes in a store."""

    store: Stocked
    notes: Mapping[str, Note]

    async def count_found(self, ranking: Ranking) -> int:
        """Return how many questions find their note among the first five."""
        found = [await self._finds(name, ranking) for name in self.notes]
        return sum(found)

    async def _finds(self, name: str, ranking: Ranking) -> bool:
        question = self.notes[name].question
        model, store_id = self.store.model, self.store.id
        hits = await search_store(model, store_id, [question], most=50, ranking=ranking)
        names = dict.fromkeys(str(hit.attributes["note"]) for hit in hits)
        return name in list(names)[:FIRST]


def read_notes(pattern: str) -> dict[str, Note]:
    notes: dict[str, Note] = {}
    for path in sorted(FOLDER.glob(pattern)):
        notes |= msgspec.convert(tomllib.loads(path.read_text("utf-8")), dict[str, Note])
    return notes


@pytest.fixture
async def resources(database_url: str, tmp_path: Path) -> AsyncIterator[Resources]:
    settings = Settings(
        _env_file=None,
        database_url=database_url,
        redis_url=f"unix://{tmp_path}/nobody.sock",
        model_provider="local",
    )
    async with open_resources(settings) as opened:
        yield opened


@pytest.fixture
async def empty(resources: Resources) -> Stocked:
    space = Space("wordllama-256", 256, shortened=True)
    return await stock(resources, await resources.database.write(add_caller), space)


async def library(store: Stocked, notes: Mapping[str, Note]) -> Library:
    """Put notes into a store, each cut as a document is."""
    for name, note in notes.items():
        chunks = pack_chunks([Piece(note.text)], SMALL, lambda text: len(text) // 4 + 1)
        await store.add(*(chunk.text for chunk in chunks), attributes={"note": name})
    return Library(store, notes)


async def test_as_many_questions_as_before_find_their_notes(
    empty: Stocked, request: pytest.FixtureRequest
) -> None:
    notes = await library(empty, read_notes("notes_of_*.toml"))
    found = {way: await notes.count_found(ranking) for way, ranking in WAYS.items()}
    dialect = request.node.callspec.params["database_url"]
    expected = msgspec.json.decode((FOLDER / "expected.json").read_bytes())[dialect]
    lost = {way: expected[way] - found[way] for way in WAYS}
    assert max(lost.values()) <= LOST, f"{found} of {len(notes.notes)} found, not {expected}"
    assert min(lost.values()) >= -LOST, f"{found} is better than {expected}: write it there"


async def test_shuffled_words_are_noticed(empty: Stocked) -> None:
    """The broken twin: chunks have the words of all notes, as by a packer that mixes them up."""
    notes = read_notes("notes_of_*.toml")
    words = [word for note in notes.values() for word in note.text.split()]
    random.Random(0).shuffle(words)
    for at, note in enumerate(notes.values()):
        note.text = " ".join(words[at * 120 : at * 120 + 120])
    mixed = await library(empty, notes)
    found = [await mixed.count_found(ranking) for ranking in WAYS.values()]
    assert max(found) < len(notes) / 3


async def test_questions_without_spaces_are_found_by_their_vectors(empty: Stocked) -> None:
    """Chinese and Japanese have no spaces: the index of words finds nothing in them."""
    others, own = read_notes("notes_in_*.toml"), read_notes("notes_of_*.toml")
    notes = Library((await library(empty, own | others)).store, others)
    assert await notes.count_found(WAYS["vectors"]) == len(others)
    assert await notes.count_found(WAYS["words"]) == 0
    assert await notes.count_found(WAYS["both"]) == len(others)
