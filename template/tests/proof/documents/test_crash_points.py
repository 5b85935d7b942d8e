"""A worker dies at each durable step of an ingestion or a removal: the next one does the rest.

Chunks, vectors and words are those of an undisturbed run, bit for bit.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.batches import files
from engine.documents import embedding, stores
from engine.documents.embedding import write_page
from engine.documents.extract.chunks import ChunkStrategy
from engine.documents.extract.messages import ExtractedChunk
from engine.documents.ingestion import (
    Ingestion,
    begin_ingestion,
    finish_ingestion,
    ingestion_ended,
    write_group,
)
from engine.documents.resource import Documents
from engine.documents.schema import ChunkingStrategy, NewStore, StaticSizes
from engine.documents.space import Space
from engine.documents.tables import (
    DocumentChunkRow,
    StoreFileRow,
    VectorPageRow,
    VectorStoreRow,
)
from engine.documents.words import find_by_words
from engine.jobs.runs import Ended, LostRunError, Run, announce_end
from engine.resources import Resources
from engine.sql.tables import CallerRow, JobRow, ScheduleRow
from tests.documents.files import long_text
from tests.proof.machines.features import greeting
from tests.proof.thorough import one_of_each
from tests.proof.worker.crashing import KILLED, Point
from tests.proof.worker.test_crash_points import Site, empty, let_leases_run_out, site

TEXT = b"".join(long_text(60_000))
SIZES = StaticSizes(max_chunk_size_tokens=100, chunk_overlap_tokens=50)
"""With them the text has more than 256 chunks: nine groups and three pages."""

INGESTION = (
    Point("ingestion.begin_ingestion", "before"),
    Point("ingestion.begin_ingestion", "after"),
    Point("ingestion.write_group", "before"),
    Point("ingestion.write_group", "after"),
    Point("ingestion.write_group", "within", statements=2),
    Point("ingestion.write_group", "before", nth=3),
    Point("ingestion.write_group", "after", nth=3),
    Point("embedding.write_page", "before"),
    Point("embedding.write_page", "after"),
    Point("embedding.write_page", "before", nth=2),
    Point("embedding.write_page", "after", nth=2),
    Point("ingestion.finish_ingestion", "before"),
    Point("ingestion.finish_ingestion", "after"),
    Point("runs.record_job", "before"),
)
REMOVAL = (
    Point("removal.remove_piece", "before"),
    Point("removal.remove_piece", "after"),
    Point("removal.remove_piece", "before", nth=3),
    Point("removal.remove_piece", "after", nth=3),
)


def name_of(point: Point) -> str:
    return f"{point}-{point.nth}"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with site(tmp_path_factory.mktemp("crashes"), redis_url, url) as ready:
        yield ready


@pytest.fixture(scope="module")
def undisturbed(place: Site) -> str:
    """The digest of a run in which no worker dies."""
    with ingesting(place):
        assert place.workers.run() == 0
        return place.service.in_database(digest)


@contextmanager
def ingesting(place: Site) -> Iterator[None]:
    """Leave one file to be ingested, and nothing else."""
    place.service.in_database(empty)
    place.service.new_key()
    place.service.in_database(submit, Documents(place.service.settings))
    yield


@pytest.mark.parametrize("point", one_of_each(INGESTION, lambda point: point.step), ids=name_of)
def test_an_ingestion_survives_its_workers_death(
    place: Site, undisturbed: str, point: Point
) -> None:
    with ingesting(place):
        assert place.workers.run(point) == KILLED, f"{point} was not reached"
        place.service.in_database(let_leases_run_out)
        assert place.workers.run() == 0
        assert place.service.in_database(digest) == undisturbed


@pytest.mark.parametrize("point", one_of_each(REMOVAL, lambda point: point.step), ids=name_of)
def test_a_removal_survives_its_workers_death(place: Site, point: Point) -> None:
    with ingesting(place):
        assert place.workers.run() == 0
        place.service.in_database(delete_all)
        assert place.workers.run(point) == KILLED, f"{point} was not reached"
        place.service.in_database(let_leases_run_out)
        assert place.workers.run() == 0
        for table in (VectorStoreRow, StoreFileRow, DocumentChunkRow, VectorPageRow):
            assert place.service.in_database(count, table) == 0


LATE_STEPS: dict[str, Callable[[Session, Run, Ingestion], object]] = {
    "begin": lambda session, run, file: begin_ingestion(session, run, file.id),
    "write_group": lambda session, run, file: write_group(
        session, run, file, 0, [ExtractedChunk("late", 1, 0, None)], most=10, whole=True
    ),
    "write_page": lambda session, run, file: write_page(
        session, run, file.id, file.space, 0, np.zeros((1, 256), dtype="<f4")
    ),
    "finish": lambda session, run, file: finish_ingestion(session, run, file.id, file.space),
}


@pytest.mark.parametrize("step", LATE_STEPS)
def test_a_late_worker_writes_nothing(place: Site, step: str) -> None:
    with ingesting(place), pytest.raises(LostRunError):
        place.service.in_database(write_late, LATE_STEPS[step])
    assert place.service.in_database(count, DocumentChunkRow) == 0


def test_a_late_worker_without_the_fence_is_noticed(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: no step asks whose the job is."""
    monkeypatch.setattr(embedding, "require_run", lambda *_: None)
    with ingesting(place):
        place.service.in_database(write_late, LATE_STEPS["write_group"])
        assert place.service.in_database(count, DocumentChunkRow) == 1


@pytest.mark.parametrize(
    ("job_status", "code", "status", "told"),
    [
        ("failed", "invalid_file", "failed", "invalid_file"),
        ("failed", "worker_crashed", "failed", "server_error"),
        ("expired", None, "failed", "server_error"),
        ("cancelled", None, "cancelled", None),
    ],
)
def test_the_end_of_a_job_is_that_of_its_file(
    place: Site, job_status: str, code: str | None, status: str, told: str | None
) -> None:
    with ingesting(place):
        found = place.service.in_database(end_job, ingestion_ended, job_status, code)
    assert found == (status, told)


def test_a_file_whose_status_never_ends_is_noticed(place: Site) -> None:
    """The broken twin: a job that ends without a word to its file."""
    with ingesting(place):
        found = place.service.in_database(end_job, announce_end, "failed", "invalid_file")
    assert found == ("in_progress", None)


def end_job(
    session: Session, ended: Ended, job_status: str, code: str | None
) -> tuple[str, str | None]:
    """End the job of the file; return the file's status and the code of its error."""
    row = session.scalars(select(StoreFileRow)).one()
    job = session.get_one(JobRow, row.job_id)
    job.status, job.error_code, job.error_message = job_status, code, "It failed."
    ended(session, job)
    return row.status, json.loads(row.error)["code"] if row.error else None


def write_late(session: Session, step: Callable[[Session, Run, Ingestion], object]) -> None:
    """Do a step of a worker whose job another one has by now."""
    row = session.scalars(select(StoreFileRow)).one()
    job = session.get_one(JobRow, row.job_id)
    job.status, job.owner = "running", "lease_of_another"
    session.flush()
    run = Run(
        resources=cast("Resources", None),
        id=job.id,
        caller_id=row.caller_id,
        attempt=1,
        progress=None,
        owner="lease_of_a_late_worker",
    )
    strategy, space = ChunkStrategy(), Space("simulated-embeddings", 256, shortened=True)
    known = row.id, row.caller_id, row.file_id, row.filename
    step(session, run, Ingestion(*known, strategy, "", space, chunks=0, extracted=False))


def submit(session: Session, documents: Documents) -> None:
    caller_id = session.scalars(select(CallerRow.id)).one()
    file_id = files.begin_file(session, caller_id, filename="long.txt", purpose="assistants")
    session.flush()
    files.append_part(session, caller_id, file_id, 0, TEXT)
    files.finish_file(session, caller_id, file_id)
    stores.create_store(
        session,
        caller_id,
        NewStore(
            file_ids=[file_id],
            chunking_strategy=ChunkingStrategy(type="static", static=SIZES),
        ),
        settings=documents.settings,
        space=documents.space,
        request_id="req_d",
    )
    session.add(ScheduleRow(name=greeting.JOB.name, tick=0.0))


def delete_all(session: Session) -> None:
    row = session.scalars(select(VectorStoreRow)).one()
    stores.delete_store(session, row.caller_id, row.id, "req_d")


def count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def digest(session: Session) -> str:
    """Return one text for all that an ingestion leaves, but for ids and times."""
    file = session.scalars(select(StoreFileRow)).one()
    assert file.status == "completed"
    assert session.scalar(select(JobRow.status).where(JobRow.id == file.job_id)) == "succeeded"
    made = hashlib.sha256(f"{file.chunks} {file.usage_bytes}".encode())
    chunk, page = DocumentChunkRow, VectorPageRow
    for row in session.scalars(select(chunk).order_by(chunk.seq)):
        made.update(f"{row.seq} {row.tokens} {row.repeated} {row.page} {row.text}".encode())
    for each in session.scalars(select(page).order_by(page.first)):
        made.update(f"{each.first} {each.count} {each.space}".encode() + each.vectors)
    query = "fox 17 1234"
    found = find_by_words(session, file.store_id, [file.id], query, rows=10_000, limit=50)
    made.update(str([key.seq for key in found]).encode())
    return made.hexdigest()
