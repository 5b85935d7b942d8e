"""Requests that are refused, each by name."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.fine_tuning.conftest import FAST, Chain, Lab
from tests.fine_tuning.training import begin, ended, example, examples, upload
from tests.service import Service, service


@pytest.fixture
def caller(chain: Chain) -> OpenAI:
    return chain.caller()


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"method": {"type": "dpo"}}, "method.type"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"seed": -1}, "seed"),
        ({"validation_file": "file_unknown"}, "validation_file"),
    ],
)
def test_a_refusal_names_the_field(caller: OpenAI, more: dict[str, Any], param: str) -> None:
    file = upload(caller)
    with pytest.raises(openai.APIStatusError) as refused:
        caller.fine_tuning.jobs.create(model="simulated-chat", training_file=file, **more)
    assert (refused.value.status_code // 100, refused.value.param) == (4, param)


def test_a_file_of_another_purpose_is_refused(caller: OpenAI) -> None:
    file = caller.files.create(file=("in.jsonl", examples()), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="was uploaded for `batch`"):
        caller.fine_tuning.jobs.create(model="simulated-chat", training_file=file.id)


def test_a_bad_training_file_ends_the_job_with_its_line(caller: OpenAI) -> None:
    job = ended(caller, begin(caller, content=examples(3) + b'{"messages": []}\n'))
    assert job.error
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    assert "Line 4 " in job.error.message
    assert caller.fine_tuning.jobs.list_events(job.id).data[0].level == "error"


def test_a_validation_file_is_checked_too(caller: OpenAI) -> None:
    good, bad = upload(caller), upload(caller, content=b"no JSON\n")
    job = caller.fine_tuning.jobs.create(
        model="simulated-chat", training_file=good, validation_file=bad
    )
    error = ended(caller, job).error
    assert error
    assert (error.code, error.param) == ("invalid_training_file", "validation_file")


def test_a_validation_file_is_handed_over(chain: Chain, caller: OpenAI) -> None:
    small = upload(caller, "few.jsonl", example().encode())
    job = caller.fine_tuning.jobs.create(
        model="simulated-chat", training_file=upload(caller), validation_file=small
    )
    assert ended(caller, job).status == "succeeded"
    sent = [each for each in chain.provider().fine_tuning.jobs.list() if each.validation_file]
    assert job.id in [(each.metadata or {})["origin"] for each in sent]


def test_a_key_creates_once(caller: OpenAI) -> None:
    file, header = upload(caller), {"idempotency-key": "one"}
    made = [
        caller.fine_tuning.jobs.create(
            model="simulated-chat", training_file=file, extra_headers=header
        )
        for _ in range(2)
    ]
    assert made[0].id == made[1].id


def test_a_file_that_is_still_to_be_sent_cannot_be_deleted(lab: Lab) -> None:
    caller = lab.caller()
    job = begin(caller)
    with pytest.raises(openai.ConflictError, match=f"{job.id} still reads this file"):
        caller.files.delete(job.training_file)
    lab.work()
    ended(caller, job)
    caller.files.delete(job.training_file)


def test_more_unfinished_jobs_than_allowed_are_refused(caller: OpenAI) -> None:
    begun = [begin(caller, "stuck.jsonl") for _ in range(3)]
    with pytest.raises(openai.RateLimitError, match="3 unfinished"):
        begin(caller)
    for job in begun:
        caller.fine_tuning.jobs.cancel(job.id)
    assert {ended(caller, job).status for job in begun} == {"cancelled"}
    assert ended(caller, begin(caller)).status == "succeeded"


def test_an_ended_job_cannot_be_cancelled(caller: OpenAI) -> None:
    job = ended(caller, begin(caller))
    with pytest.raises(openai.ConflictError, match="has succeeded already"):
        caller.fine_tuning.jobs.cancel(job.id)


def test_pages_lead_from_one_to_the_next(caller: OpenAI) -> None:
    jobs = [ended(caller, begin(caller)).id for _ in range(3)]
    assert [each.id for each in caller.fine_tuning.jobs.list(limit=2)] == jobs[::-1]


def test_a_filter_by_metadata_is_refused_by_name(caller: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="not filtered by metadata"):
        caller.fine_tuning.jobs.list(metadata={"k": "v"})


@pytest.fixture(scope="module")
def guarded(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service where fine-tuning needs a flag."""
    folder = tmp_path_factory.mktemp("guarded")
    with service(folder, redis_url, fine_tuning_flag="trainers", **FAST) as ready:
        ready.start("api")
        yield ready


def test_a_caller_without_the_flag_is_refused(guarded: Service) -> None:
    client = guarded.client(guarded.new_key(), max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        begin(client)


def test_a_provider_that_trains_nothing_is_named(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with service(tmp_path_factory.mktemp("local"), redis_url, model_provider="local") as ready:
        ready.start("api")
        client = ready.client(ready.new_key(), max_retries=0)
        with pytest.raises(openai.BadRequestError, match="set MODEL_PROVIDER=openai") as refused:
            begin(client)
    assert refused.value.code == "fine_tuning_not_offered"
