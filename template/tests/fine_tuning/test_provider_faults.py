"""A provider that lies, is slow, and forgets."""

import time
from collections.abc import Callable

import openai
import pytest

from tests.fine_tuning.conftest import Lab
from tests.fine_tuning.provider import MODEL, Said
from tests.fine_tuning.training import begin, ended, examples
from tests.service import eventually

LOOK, CREATE = "GET /fine_tuning/jobs/ID", "POST /fine_tuning/jobs"
CANCEL = "POST /fine_tuning/jobs/ID/cancel"


def saying(status: int, body: object) -> Callable[[], Said]:
    return lambda: (status, body)


def slow() -> Said:
    time.sleep(3)  # the service waits for 1 s
    return None


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(saying(200, {"id": "ftjob-9", "status": "succeeded"}), id="another job"),
        pytest.param(saying(200, {"id": 1, "status": []}), id="wrong types"),
        pytest.param(saying(200, b"<html>"), id="no JSON"),
        pytest.param(saying(200, [1]), id="a list"),
        pytest.param(saying(500, b""), id="an error"),
        pytest.param(saying(401, {"error": {"message": "no"}}), id="a refused key"),
        pytest.param(saying(404, {}), id="forgotten for once"),
        pytest.param(saying(0, None), id="hung up"),
        pytest.param(slow, id="slow"),
    ],
)
def test_a_training_outlasts_a_bad_look(lab: Lab, lie: Callable[[], Said]) -> None:
    lab.work()
    lab.provider.fault(LOOK, lie)
    caller = lab.caller()
    job = begin(caller)
    assert ended(caller, job).status == "succeeded"
    assert lab.provider.calls[CREATE] == 1


def test_a_file_of_many_parts_arrives_whole(lab: Lab) -> None:
    lab.work()
    caller, content = lab.caller(), examples(20_000)
    assert ended(caller, begin(caller, 'a "good"\r\n.jsonl', content)).status == "succeeded"
    assert lab.provider.received == [content]


def test_an_unknown_status_is_not_shown(lab: Lab) -> None:
    lab.provider.statuses = [{"status": "dreaming"}, {"status": "running"}, {"status": "dreaming"}]
    lab.work()
    caller, seen = lab.caller(), set()
    job = begin(caller)

    def has_ended() -> bool:
        seen.add(caller.fine_tuning.jobs.retrieve(job.id).status)
        return "succeeded" in seen

    eventually(has_ended)
    assert seen <= {"validating_files", "queued", "running", "succeeded"}


def test_a_job_that_vanishes_fails_by_name(lab: Lab) -> None:
    lab.provider.fault(LOOK, *[saying(404, {})] * 5)
    lab.work()
    caller = lab.caller()
    job = ended(caller, begin(caller))
    assert job.error
    assert (job.status, job.error.code) == ("failed", "provider_lost_job")


@pytest.mark.parametrize("name", ["gpt", "", None, "x" * 300, 5])
def test_a_name_that_is_no_fine_tuned_models_is_not_adopted(lab: Lab, name: object) -> None:
    lab.provider.statuses = [{"status": "succeeded", "fine_tuned_model": name}] * 2
    lab.work()
    caller = lab.caller()
    job = begin(caller)
    eventually(lambda: lab.provider.calls[LOOK])
    assert ended(caller, job).fine_tuned_model != name or name is None
    assert name not in [each.id for each in models_of(lab, caller)]


def test_the_model_of_another_caller_is_not_adopted(lab: Lab) -> None:
    lab.work()
    owner = lab.caller()
    model = ended(owner, begin(owner)).fine_tuned_model
    lab.provider.statuses = [{"status": "succeeded", "fine_tuned_model": model}]
    thief = lab.caller()
    job = ended(thief, begin(thief))
    assert job.error
    assert (job.status, job.error.code) == ("failed", "model_not_adopted")
    assert model not in [each.id for each in models_of(lab, thief)]


def test_the_provider_job_of_another_caller_is_not_followed(lab: Lab) -> None:
    lab.provider.statuses = [{"status": "running"}] * 100
    lab.work()
    owner, thief = lab.caller(), lab.caller()
    first = begin(owner)
    eventually(lambda: lab.provider.of(first.id))
    taken = lab.provider.of(first.id)[0]
    lab.provider.fault(CREATE, saying(200, taken))
    second = begin(thief)
    eventually(lambda: lab.provider.of(second.id))
    lab.provider.statuses.clear()
    assert ended(owner, first).status == "succeeded"
    assert ended(thief, second).fine_tuned_model != ended(owner, first).fine_tuned_model


@pytest.mark.parametrize("name", [f"{MODEL}:other", "FT:x", " ft:x", "openai/ft:x", "a:ft:x"])
def test_a_model_at_the_provider_is_nobodys_before_it_is_adopted(lab: Lab, name: str) -> None:
    caller = lab.caller()
    with pytest.raises(openai.NotFoundError):
        caller.responses.create(model=name, input="Hello")
    assert not lab.provider.calls["POST /chat/completions"]


@pytest.mark.parametrize("body", [b"", b"{}", {"id": None, "status": "queued"}])
def test_the_job_of_an_unreadable_answer_is_looked_for(lab: Lab, body: object) -> None:
    lab.provider.fault(CREATE, saying(200, body))
    lab.work()
    caller = lab.caller()
    assert ended(caller, begin(caller)).status == "succeeded"
    assert lab.provider.calls[CREATE] == 1


def test_an_unreadable_answer_without_a_job_is_not_asked_for_again(lab: Lab) -> None:
    def lie() -> Said:
        lab.provider.jobs.clear()
        return 200, b"done"

    lab.provider.fault(CREATE, lie)
    lab.work()
    caller = lab.caller()
    assert ended(caller, begin(caller)).status == "failed"
    assert lab.provider.calls[CREATE] == 1


def test_a_refusal_of_the_creation_is_told(lab: Lab) -> None:
    error = {"message": "Model x cannot be trained.", "code": "model_not_available"}
    lab.provider.fault(CREATE, saying(400, {"error": error}))
    lab.work()
    caller = lab.caller()
    job = ended(caller, begin(caller))
    assert job.error
    assert (job.error.code, job.error.message) == (error["code"], error["message"])
    eventually(lambda: not lab.provider.files)


def test_a_provider_without_checkpoints_has_an_empty_page_of_them(lab: Lab) -> None:
    lab.work()
    caller = lab.caller()
    job = ended(caller, begin(caller))
    assert list(caller.fine_tuning.jobs.checkpoints.list(job.id)) == []


def test_checkpoints_name_our_job_and_their_models_are_the_callers(lab: Lab) -> None:
    name = f"{MODEL}:ckpt-step-5"
    told = {"id": "c1", "created_at": 1, "fine_tuned_model_checkpoint": name, "step_number": 5}
    listed = saying(200, {"data": [told, {"id": 5}], "has_more": False})
    lab.provider.fault("GET /fine_tuning/jobs/ID/checkpoints", listed, listed)
    lab.work()
    caller = lab.caller()
    job = ended(caller, begin(caller))
    shown = list(caller.fine_tuning.jobs.checkpoints.list(job.id))
    assert [(each.fine_tuning_job_id, each.step_number) for each in shown] == [(job.id, 5)]
    assert name in [each.id for each in models_of(lab, caller)]


def test_events_of_wrong_types_are_left_out(lab: Lab) -> None:
    good = {"id": "e1", "created_at": 1, "level": "shout", "message": "x" * 5000, "data": {"a": 1}}
    lab.provider.events["ftjob-1"] = [{"id": 5}, {"message": []}, good, good]
    lab.work()
    caller = lab.caller()
    job = ended(caller, begin(caller))
    events = list(caller.fine_tuning.jobs.list_events(job.id))
    told = [each for each in events if each.data]
    assert [(each.level, each.data, len(each.message)) for each in told] == [
        ("info", {"a": 1}, 2000)
    ]


@pytest.mark.parametrize("step", ["POST /files", CREATE, LOOK])
def test_a_cancel_at_each_step_ends_the_job_at_the_provider(lab: Lab, step: str) -> None:
    caller = lab.caller()
    job = begin(caller)

    def cancel() -> Said:
        caller.fine_tuning.jobs.cancel(job.id)
        return None

    lab.provider.fault(step, cancel)
    lab.provider.statuses = [{"status": "running"}] * 100
    lab.work()
    assert ended(caller, job).status == "cancelled"
    assert {each["status"] for each in lab.provider.of(job.id)} <= {"cancelled"}
    eventually(lambda: not lab.provider.files)


def test_a_cancel_before_any_work_leaves_nothing_at_the_provider(lab: Lab) -> None:
    caller = lab.caller()
    job = begin(caller)
    assert caller.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    lab.work()
    with lab.service.http(caller.api_key) as http:
        eventually(lambda: http.get("/v1/jobs").json()["data"][0]["status"] == "succeeded")
    assert not lab.provider.calls["POST /files"]


def test_a_cancel_that_comes_too_late_does_not_hide_the_success(lab: Lab) -> None:
    caller = lab.caller()
    job = begin(caller)

    def cancel() -> Said:
        caller.fine_tuning.jobs.cancel(job.id)
        lab.provider.fault(CANCEL, lambda: refused(lab, job.id))
        return None

    lab.provider.fault(LOOK, cancel)
    lab.provider.statuses = [{"status": "running"}]
    lab.work()
    assert ended(caller, job).status == "succeeded"
    assert lab.provider.calls[CANCEL]


def refused(lab: Lab, job_id: str) -> Said:
    lab.provider.of(job_id)[0]["status"] = "running"
    return 400, {"error": {"message": "It has ended."}}


def models_of(lab: Lab, caller: openai.OpenAI) -> list[openai.types.Model]:
    """Return the models of a caller; the provider itself lists none."""
    lab.provider.fault("GET /models", saying(200, {"object": "list", "data": []}))
    return list(caller.models.list())
