"""Broken twins: without the look for the mark, or without the owners of models, harm is seen."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.resources.lifespan import Resources, open_resources
from app.settings import Settings
from engine.batches import files
from engine.errors import NotFound
from engine.fine_tuning import training
from engine.fine_tuning.jobs import create_fine_tuning, end_fine_tuning
from engine.fine_tuning.option import delete_fine_tunings
from engine.fine_tuning.owned_models import OwnedModels, adopt_models, owns_model
from engine.fine_tuning.provider_job import ProviderJob
from engine.fine_tuning.schema import NewFineTuning
from engine.fine_tuning.tables import FineTuningEventRow, FineTuningJobRow
from engine.fine_tuning.trainer import RemoteTrainer
from engine.fine_tuning.training import FINE_TUNE, FineTuneSubject, Training
from engine.jobs import runs
from engine.jobs.runs import JobOutcome, Later, Run
from engine.models.interface import ChatRequest, Message
from engine.resources import model_for
from engine.sql.statements import new_id
from tests.fine_tuning.provider import FakeProvider
from tests.fine_tuning.training import examples
from tests.owing import add_caller

pytestmark = pytest.mark.anyio

MODEL = "ft:simulated-chat:simulated:mine:1"


@pytest.fixture
async def resources(
    database_url: str, provider: FakeProvider, tmp_path: Path
) -> AsyncIterator[Resources]:
    settings = Settings(
        _env_file=None,
        database_url=database_url,
        redis_url=f"unix://{tmp_path}/nobody.sock",
        model_provider="openai",
        openai_base_url=provider.url,
        fine_tuning_settle_seconds=0.001,
    )
    async with open_resources(settings) as opened:
        yield opened


class KilledError(Exception):
    """The worker's end."""


class Forgetful(RemoteTrainer):
    """A twin that does not look for the job of an earlier attempt."""

    async def find(self, *_: object) -> None:
        """Find nothing."""


class Dying(RemoteTrainer):
    """One whose worker is killed as the provider has made the job."""

    async def create(self, body: dict[str, Any]) -> ProviderJob:
        """Create, and tell no one."""
        await super().create(body)
        raise KilledError


class Unbound(OwnedModels):
    """A twin that lets all callers name a model."""

    async def require_owner(self, *_: object) -> None:
        """Allow it."""


def prepare(session: Session) -> FineTuneSubject:
    """Return the subject of a fine-tuning whose job waits for a worker."""
    caller_id = add_caller(session)
    file_id = files.begin_file(session, caller_id, filename="good.jsonl", purpose="fine-tune")
    session.flush()
    files.append_part(session, caller_id, file_id, 0, examples())
    files.finish_file(session, caller_id, file_id)
    session.flush()
    job = create_fine_tuning(
        session,
        caller_id,
        NewFineTuning(model="gpt", training_file=file_id),
        kind=FINE_TUNE,
        most_open=1,
        request_id="",
        traceparent=None,
    )
    return FineTuneSubject(job_id=job.id)


async def attempt(
    resources: Resources, subject: FineTuneSubject, kind: type[RemoteTrainer]
) -> None:
    """Claim the job, run it with a trainer of this kind, and give it back."""
    database, owner = resources.database, new_id("lease")
    claimed = await database.write(runs.claim_job, owner, 60.0, ["fine_tune"], scheduled=False)
    assert claimed
    run = Run(resources, claimed.id, claimed.caller_id, claimed.attempt, None, owner)
    row = await database.read(training.read_row, subject.job_id)
    assert row
    trainer = kind(resources.settings, resources.http, row.id)
    with suppress(KilledError, Later):
        await Training(run, row, trainer).advance()
    await database.write(runs.record_job, claimed, JobOutcome("queued"))


@pytest.mark.parametrize(
    ("kind", "jobs"),
    [pytest.param(RemoteTrainer, 1, id="right"), pytest.param(Forgetful, 2, id="broken twin")],
)
async def test_a_kill_makes_a_second_job_only_without_the_look_for_the_mark(
    resources: Resources,
    provider: FakeProvider,
    kind: type[RemoteTrainer],
    jobs: int,
) -> None:
    subject = await resources.database.write(prepare)
    await attempt(resources, subject, Dying)
    await attempt(resources, subject, kind)
    assert len(provider.of(subject.job_id)) == jobs


def adopt(session: Session, job_id: str) -> str:
    row = session.get_one(FineTuningJobRow, job_id)
    assert adopt_models(session, row, [MODEL]) == {MODEL}
    return row.caller_id


@pytest.fixture
async def owned(resources: Resources) -> str:
    """The id of a caller that has a model."""
    subject = await resources.database.write(prepare)
    return await resources.database.write(adopt, subject.job_id)


CHAT = ChatRequest(model=MODEL, messages=[Message(role="user", content="Hello")])


async def asks(resources: Resources, caller_id: str) -> str | None:
    """Return the code of the refusal of a chat; the provider itself has no chats."""
    try:
        await model_for(resources, caller_id).complete(CHAT)
    except NotFound as error:
        return error.code
    except Exception:  # noqa: BLE001 -- it came to the provider
        return None
    return None


async def test_a_stranger_reaches_the_model_only_without_its_owners(
    resources: Resources, owned: str, provider: FakeProvider
) -> None:
    assert await asks(resources, "stranger") == "model_not_found"
    assert not provider.calls["POST /chat/completions"]
    twin = replace(resources, model_owners=Unbound(resources.settings, resources.database))
    await asks(twin, "stranger")
    assert provider.calls["POST /chat/completions"]


async def test_the_owner_reaches_the_model(
    resources: Resources, owned: str, provider: FakeProvider
) -> None:
    await asks(resources, owned)
    assert provider.calls["POST /chat/completions"]


async def test_retention_deletes_an_old_job_with_its_events_and_keeps_its_model(
    resources: Resources, owned: str
) -> None:
    database = resources.database
    assert not await database.write(delete_fine_tunings, 0.0)  # it has not ended
    await database.write(end_all)
    assert not await database.write(delete_fine_tunings, 100.0)
    assert await database.write(delete_fine_tunings, -1.0) == {"fine_tunings": 1}
    assert await database.read(count_events) == 0
    assert await database.read(owns_model, owned, MODEL)


def end_all(session: Session) -> None:
    for row in session.scalars(select(FineTuningJobRow)):
        end_fine_tuning(session, row, "succeeded")


def count_events(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(FineTuningEventRow)).one()
