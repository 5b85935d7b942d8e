"""Fine-tunings, their files and their events are seen by their caller only."""

import json
from collections.abc import Callable

import openai
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.fine_tuning.conftest import Chain
from tests.fine_tuning.training import begin, ended, upload
from tests.lines import CHAT_URL
from tests.service import eventually

CALLS: dict[str, Callable[[OpenAI, str], object]] = {
    "retrieve": lambda client, job_id: client.fine_tuning.jobs.retrieve(job_id),
    "cancel": lambda client, job_id: client.fine_tuning.jobs.cancel(job_id),
    "pause": lambda client, job_id: client.fine_tuning.jobs.pause(job_id),
    "resume": lambda client, job_id: client.fine_tuning.jobs.resume(job_id),
    "events": lambda client, job_id: client.fine_tuning.jobs.list_events(job_id),
    "checkpoints": lambda client, job_id: client.fine_tuning.jobs.checkpoints.list(job_id),
}


@pytest.fixture
def job(chain: Chain) -> FineTuningJob:
    """A fine-tuning of another caller."""
    owner = chain.caller()
    return ended(owner, begin(owner))


@pytest.mark.parametrize("call", CALLS)
def test_the_job_of_another_caller_is_not_there(
    chain: Chain, job: FineTuningJob, call: str
) -> None:
    stranger, said = chain.caller(), []
    for job_id in (job.id, "ftjob_unknown"):
        with pytest.raises(openai.NotFoundError) as refused:
            CALLS[call](stranger, job_id)
        said.append(refused.value.message.replace(job_id, "ID"))
    assert said[0] == said[1]


def test_the_job_of_another_caller_is_not_listed(chain: Chain, job: FineTuningJob) -> None:
    assert job.id not in [each.id for each in chain.caller().fine_tuning.jobs.list()]


def test_the_file_of_another_caller_is_not_trained_with(chain: Chain) -> None:
    file, stranger = upload(chain.caller()), chain.caller()
    with pytest.raises(openai.NotFoundError) as refused:
        stranger.fine_tuning.jobs.create(model="simulated-chat", training_file=file)
    assert refused.value.param == "training_file"


def test_a_batch_of_another_caller_cannot_ask_the_model(chain: Chain, job: FineTuningJob) -> None:
    stranger = chain.caller()
    body = {"model": job.fine_tuned_model, "messages": [{"role": "user", "content": "Hello"}]}
    line = json.dumps({"custom_id": "1", "method": "POST", "url": CHAT_URL, "body": body})
    file = stranger.files.create(file=("in.jsonl", line.encode()), purpose="batch")
    batch = stranger.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    done = ended_batch(stranger, batch.id)
    assert done.error_file_id
    assert "model_not_found" in stranger.files.content(done.error_file_id).text


def ended_batch(client: OpenAI, batch_id: str) -> openai.types.Batch:
    eventually(lambda: client.batches.retrieve(batch_id).status == "completed")
    return client.batches.retrieve(batch_id)
