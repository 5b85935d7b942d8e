"""A second service of this kind is the trainer: both are asked by the official client."""

import openai
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.fine_tuning.conftest import Chain
from tests.fine_tuning.training import begin, ended, upload
from tests.receiver import Receiver
from tests.service import eventually


@pytest.fixture
def caller(chain: Chain) -> OpenAI:
    return chain.caller()


def at_provider(chain: Chain, job: FineTuningJob) -> list[FineTuningJob]:
    """Return the provider's jobs of a fine-tuning."""
    jobs = list(chain.provider().fine_tuning.jobs.list())
    return [each for each in jobs if (each.metadata or {}).get("origin") == job.id]


def say(client: OpenAI, model: str) -> str:
    message = {"role": "user", "content": "Hello"}
    answer = client.chat.completions.create(
        model=model,
        messages=[message],  # type: ignore[list-item]
        max_tokens=3,
    )
    return answer.choices[0].message.content or ""


def test_a_training_that_succeeds_gives_its_caller_a_model(chain: Chain, caller: OpenAI) -> None:
    job = ended(caller, begin(caller))
    assert job.status == "succeeded"
    assert job.fine_tuned_model
    assert job.fine_tuned_model.startswith("ft:simulated-chat:")
    assert job.metadata == {"k": "v"}
    assert job.trained_tokens
    assert say(caller, job.fine_tuned_model)
    assert job.fine_tuned_model in [each.id for each in caller.models.list()]
    assert len(at_provider(chain, job)) == 1


def test_another_caller_gets_the_answer_for_an_unknown_model(chain: Chain, caller: OpenAI) -> None:
    model = str(ended(caller, begin(caller)).fine_tuned_model)
    other, said = chain.caller(), []
    for name in (model, "ft:simulated-chat:simulated:mine:unknown"):
        with pytest.raises(openai.NotFoundError) as refused:
            say(other, name)
        error: dict[str, str] = refused.value.body  # type: ignore[assignment]
        said.append({**error, "message": error["message"].replace(name, "MODEL")})
    assert said[0] == said[1]
    assert said[0]["code"] == "model_not_found"


def test_another_caller_sees_no_trace_of_the_model(chain: Chain, caller: OpenAI) -> None:
    model = str(ended(caller, begin(caller)).fine_tuned_model)
    other = chain.caller()
    assert model not in [each.id for each in other.models.list()]
    with pytest.raises(openai.NotFoundError):
        other.models.retrieve(model)
    with pytest.raises(openai.NotFoundError):
        other.responses.create(model=model, input="Hello")
    with pytest.raises(openai.NotFoundError):
        other.completions.create(model=model, prompt="Hello")
    with pytest.raises(openai.NotFoundError):
        other.completions.create(model=model, prompt="Hello", stream=True)
    with pytest.raises(openai.NotFoundError):
        other.embeddings.create(model=model, input="Hello")
    with pytest.raises(openai.NotFoundError):
        other.fine_tuning.jobs.create(model=model, training_file=upload(other))


def test_a_response_and_a_stream_are_given_by_the_model(chain: Chain, caller: OpenAI) -> None:
    model = str(ended(caller, begin(caller)).fine_tuned_model)
    assert caller.responses.create(model=model, input="Hello").output_text
    chunks = caller.completions.create(model=model, prompt="Hello", stream=True)
    assert {each.model for each in chunks} == {model}
    assert caller.models.retrieve(model).id == model


def test_a_training_that_fails_says_the_providers_reason(chain: Chain, caller: OpenAI) -> None:
    job = ended(caller, begin(caller, "fail.jsonl"))
    assert job.status == "failed"
    assert job.error
    assert job.error.code == "simulated_failure"
    assert job.fine_tuned_model is None


def test_a_training_that_hangs_is_cancelled_at_the_provider(chain: Chain, caller: OpenAI) -> None:
    job = begin(caller, "stuck.jsonl")
    eventually(lambda: caller.fine_tuning.jobs.retrieve(job.id).status == "running")
    caller.fine_tuning.jobs.cancel(job.id)
    assert ended(caller, job).status == "cancelled"
    assert [each.status for each in at_provider(chain, job)] == ["cancelled"]


def test_cancelling_the_job_behind_it_cancels_the_training(chain: Chain, caller: OpenAI) -> None:
    job = begin(caller, "stuck.jsonl")
    eventually(lambda: caller.fine_tuning.jobs.retrieve(job.id).status == "running")
    key = caller.api_key
    with chain.front.http(key) as http:
        work = http.get("/v1/jobs").json()["data"][0]
        http.post(f"/v1/jobs/{work['id']}/cancel").raise_for_status()
    assert ended(caller, job).status == "cancelled"
    assert [each.status for each in at_provider(chain, job)] == ["cancelled"]


def test_events_of_the_provider_are_shown_once(chain: Chain, caller: OpenAI) -> None:
    job = ended(caller, begin(caller))
    messages = [each.message for each in caller.fine_tuning.jobs.list_events(job.id, limit=2)]
    assert messages[0] == "The job has succeeded."
    assert messages.count("The training is simulated: the model is as it was.") == 1
    assert len(messages) > 2


def test_no_file_stays_at_the_provider(chain: Chain, caller: OpenAI) -> None:
    job = ended(caller, begin(caller))
    provider = chain.provider()
    eventually(lambda: not [each for each in provider.files.list() if job.id in each.filename])


def test_a_webhook_tells_of_the_end(chain: Chain, caller: OpenAI, receiver: Receiver) -> None:
    hook = caller.webhooks.create(
        name="ends", url=receiver.url, event_types=["fine_tuning.job.succeeded"]
    )
    job = ended(caller, begin(caller))
    eventually(lambda: receiver.requests)
    told = receiver.requests[0].verified(hook.signing_secret)
    assert (told["type"], told["data"]) == ("fine_tuning.job.succeeded", {"id": job.id})


def test_trained_tokens_are_counted(chain: Chain, caller: OpenAI) -> None:
    job = ended(caller, begin(caller))
    with chain.front.http(caller.api_key) as http:
        told = http.get("/v1/usage").text
    assert f'"fine-tuning:{job.model}"' in told


def test_a_model_may_be_trained_again(chain: Chain, caller: OpenAI) -> None:
    first = str(ended(caller, begin(caller)).fine_tuned_model)
    file = upload(caller)
    again = caller.fine_tuning.jobs.create(model=first, training_file=file)
    assert ended(caller, again).status == "succeeded"


def test_pausing_is_refused_in_the_providers_words(chain: Chain, caller: OpenAI) -> None:
    job = begin(caller, "stuck.jsonl")
    eventually(lambda: caller.fine_tuning.jobs.retrieve(job.id).status == "running")
    with pytest.raises(openai.BadRequestError, match="simulated trainer cannot pause"):
        caller.fine_tuning.jobs.pause(job.id)
    caller.fine_tuning.jobs.cancel(job.id)


def test_checkpoints_are_an_empty_page_where_there_are_none(chain: Chain, caller: OpenAI) -> None:
    job = ended(caller, begin(caller))
    assert list(caller.fine_tuning.jobs.checkpoints.list(job.id)) == []
