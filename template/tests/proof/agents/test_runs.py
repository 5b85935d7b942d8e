"""Runs amid all that may happen to their workers, to Redis, to their callers and to the code."""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.forked import MORE_MODULES
from tests.proof.agents.errands import (
    LATER,
    Json,
    agents,
    ask,
    begin,
    calls,
    decide,
    effects,
    ended,
    job_status,
    said,
    steps_of,
)
from tests.proof.agents.scripted import Turn, script
from tests.proof.responses.test_background import numbers, read
from tests.receiver import Receiver
from tests.servers import EmbeddedRedis, running
from tests.service import LIMIT, Program, Service, eventually

LONG = [("wait", {"seconds": 28.0})]
SHORT = [("wait", {"seconds": 3.0})]


def begun(place: Service, name: str = "wait") -> bool:
    return bool(effects(place, name))


def done_at(place: Service, response_id: str, name: str) -> int:
    """Return the attempt at which a call had its result, 0 while it has none."""
    steps = place.in_database(steps_of, response_id)
    return max(
        (at for called, status, at in steps if (called, status) == (name, "done")), default=0
    )


def check_events(http: httpx.Client, response: Json) -> None:
    """Check that the events tell of each item's end once, and of the same end as the response."""
    events = read(http, response["id"])
    assert numbers(events) == list(range(len(events)))
    assert events[-1]["response"] == response
    done = [e["output_index"] for e in events if e["type"] == "response.output_item.done"]
    assert done == sorted(set(done))


# Workers


def runs_lost(worker: Program) -> int:
    """Return how many runs a worker has lost alive: each is one more attempt for another claim."""
    log = worker.text()
    return log.count("is another worker's by now") + log.count("has been taken over")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_another_worker_goes_on_with_a_call_under_its_key(
    place: Service, http: httpx.Client, number: signal.Signals
) -> None:
    (first,) = place.workers()
    response_id = begin(http, [("look_up", {"order": 1})], SHORT, "Done.")
    eventually(lambda: begun(place))
    if number is signal.SIGSTOP:
        place.freeze(first)
    else:
        first.stop(number)
    second = place.start("worker")
    response = ended(http, response_id)
    lost = 1 + runs_lost(second)
    first.stop()
    assert said(response) == "Done."
    assert [each["output"] for each in calls(response)] == ["order 1", "waited"]
    assert len({each.key for each in effects(place, "wait")}) == 1
    attempts = [each.attempt for each in effects(place, "wait")]
    assert attempts[0] == 1
    assert attempts == sorted(set(attempts))
    assert 1 < attempts[-1] <= 1 + lost  # a busy worker may lose its run, also before the call
    check_events(http, response)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_call_that_must_not_be_repeated_ends_in_doubt(
    idle: Service, place: Service, http: httpx.Client, number: signal.Signals
) -> None:
    place.workers()[0].stop()
    slow = idle.start("worker", TOOL_SECONDS="30")
    response_id = begin(http, [("email", {"to": "a@example.com"})], "?")
    eventually(lambda: begun(place, "email"))
    slow.stop(number)
    place.start("worker")
    response = ended(http, response_id)
    assert "It is not known whether this was done" in said(response)
    assert place.in_database(steps_of, response_id)[1] == ("email", "doubt", 1)
    assert len(effects(place, "email")) == 1
    check_events(http, response)


# Redis


def test_a_run_goes_on_while_redis_is_wiped(
    place: Service, http: httpx.Client, redis_url: str
) -> None:
    response_id = begin(http, SHORT, [("look_up", {"order": 1})], "Done.")
    eventually(lambda: begun(place))
    Redis.from_url(redis_url).flushall()
    assert said(ended(http, response_id)) == "Done."
    assert len(effects(place, "look_up")) == 1


def test_a_call_ends_while_redis_is_away_and_the_run_goes_on_when_it_is_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Work in the background asks no model without Redis: the slots are shared there."""
    folder = tmp_path_factory.mktemp("away")
    with (
        running(EmbeddedRedis(folder)) as redis,
        agents(folder, redis.url) as alone,
        alone.http(alone.new_key()) as http,
    ):
        worker = alone.start("api", "worker")
        response_id = begin(http, SHORT, [("look_up", {"order": 1})], "Done.")
        eventually(lambda: begun(alone))
        redis.stop()
        eventually(lambda: done_at(alone, response_id, "wait"))
        assert done_at(alone, response_id, "wait") <= 1 + runs_lost(worker)
        redis.start()
        response = ended(http, response_id)
        assert said(response) == "Done."
        check_events(http, response)


# Callers who cancel and leave


def test_a_cancelled_run_ends_inside_its_tool(place: Service, http: httpx.Client) -> None:
    response_id = begin(http, [("look_up", {"order": 1})], LONG, "Done.")
    eventually(lambda: begun(place))
    answer = http.post(f"/v1/responses/{response_id}/cancel").json()
    assert answer["status"] == "cancelled"
    eventually(lambda: begun(place, "cut_off"))
    eventually(lambda: place.in_database(job_status) == "cancelled")
    assert http.get(f"/v1/responses/{response_id}").json() == answer
    steps = [name for name, _, _ in place.in_database(steps_of, response_id)]
    assert steps == ["scripted", "look_up", "scripted", "wait"]


def test_a_cancelled_run_takes_no_other_step(
    idle: Service, place: Service, http: httpx.Client
) -> None:
    """The model speaks while the run is cancelled, and asks for a call."""
    place.workers()[0].stop()
    idle.start("worker", SCRIPTED_SECONDS="2")
    response_id = begin(http, [("look_up", {"order": 1})], "Done.")
    eventually(lambda: effects(place, "model"))
    http.post(f"/v1/responses/{response_id}/cancel")
    eventually(lambda: place.in_database(job_status) == "cancelled")
    assert place.in_database(steps_of, response_id) == []
    assert not effects(place)


def test_the_approval_of_a_cancelled_run_is_not_taken(place: Service, http: httpx.Client) -> None:
    asked = ask(http, [("refund", {"order": 1, "cents": 3})], background=True)
    asked = ended(http, asked["id"])
    waiting = {**asked, "id": begin(http, LONG, "Done.", previous_response_id=asked["id"])}
    http.post(f"/v1/responses/{waiting['id']}/cancel")
    assert decide(http, waiting, approve=True).status_code == 400
    assert not effects(place, "refund")


BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
DOORS = pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])


def question(path: str, *, stream: bool) -> Json:
    said = script(LONG, "Done.")
    messages = [{"role": "user", "content": said}]
    given = {"input": said} if path == "/v1/responses" else {"messages": messages}
    return {"model": "refunds", "stream": stream, **given}


async def ask_until(holds: Callable[[], bool], http: httpx.Client, path: str, asked: Json) -> None:
    """Ask, and close the connection in mid-answer, once `holds()` is true."""
    async with httpx.AsyncClient(base_url=http.base_url, headers=http.headers) as client:
        asking = asyncio.create_task(client.post(path, json=asked, timeout=LIMIT))
        await asyncio.to_thread(eventually, holds)
        assert asking.cancel()
        await asyncio.wait([asking])


@BOTH
@DOORS
def test_a_caller_who_leaves_cancels_the_run(
    place: Service, http: httpx.Client, path: str, stream: bool
) -> None:
    asked = question(path, stream=stream)
    asyncio.run(ask_until(lambda: begun(place), http, path, asked))
    eventually(lambda: begun(place, "cut_off"))
    eventually(lambda: place.in_database(job_status) == "cancelled")


@BOTH
@DOORS
def test_a_run_whose_job_is_cancelled_is_told_of(
    place: Service, http: httpx.Client, path: str, stream: bool
) -> None:
    """Its caller waits for it in one request, and cancels its job in another."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(http.post, path, json=question(path, stream=stream))
        eventually(lambda: begun(place))
        job = http.get("/v1/jobs").json()["data"][0]
        assert http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
        answer = waiting.result()
    assert answer.status_code < 500 or "cancelled" in answer.text
    assert "cancelled" in answer.text


# Deploys


def test_a_call_whose_tool_a_deploy_took_away_says_so(place: Service, http: httpx.Client) -> None:
    (old,) = place.workers()
    response_id = begin(http, LONG, "?")
    eventually(lambda: begun(place))
    old.stop()
    place.start("worker", **{MORE_MODULES: str(LATER)})
    response = ended(http, response_id)
    assert [each["output"] for each in calls(response)] == ["There is no tool wait."]
    assert "There is no tool wait." in said(response)


@pytest.mark.parametrize("left", [LATER, Path()], ids=["another agent", "no agent"])
@pytest.mark.parametrize("background", [True, False])
def test_a_run_whose_agent_a_deploy_took_away_has_failed(
    place: Service, http: httpx.Client, left: Path, background: bool
) -> None:
    (old,) = place.workers()
    old.stop()
    why = "There is no agent hasty any more."
    body = {"model": "hasty", "input": script("Done."), "background": background}
    modules = str(left) if left != Path() else ""
    place.start("worker", **{MORE_MODULES: modules})
    answer = http.post("/v1/responses", json=body)
    if not background:
        assert (answer.status_code, answer.json()["error"]["message"]) == (502, why)
        return
    response = ended(http, answer.json()["id"])
    assert response["status"] == "failed"
    assert response["error"]["message"] == why


# What callers see


def test_a_webhook_tells_of_a_background_run(
    place: Service, http: httpx.Client, receiver: Receiver
) -> None:
    asked = {"name": "mine", "url": receiver.url, "event_types": ["response.completed"]}
    secret = http.post("/v1/webhook_endpoints", json=asked).json()["signing_secret"]
    response_id = begin(http, [("look_up", {"order": 1})], "Done.")
    eventually(lambda: receiver.requests)
    told = receiver.requests[0].verified(secret)
    assert (told["type"], told["data"]["id"]) == ("response.completed", response_id)
    ask(http, "Done.")  # its caller waits, and needs no webhook
    assert len({each.body for each in receiver.requests}) == 1
    assert len(effects(place)) == 1


@pytest.mark.parametrize("background", [True, False])
def test_an_idempotency_key_starts_one_run(
    place: Service, http: httpx.Client, background: bool
) -> None:
    body = {"model": "refunds", "input": script([("look_up", {"order": 1})], "Done.")}
    sent = {"idempotency-key": f"once-{background}"}
    answers = [
        http.post("/v1/responses", json={**body, "background": background}, headers=sent).json()
        for _ in range(3)
    ]
    assert len({each["id"] for each in answers}) == 1
    assert said(ended(http, answers[0]["id"])) == "Done."
    assert len({each.key for each in effects(place)}) == 1


def test_two_callers_have_each_their_own(place: Service, http: httpx.Client) -> None:
    turns: list[Turn] = [[("whose", {})], "Done."]
    with place.http(place.new_key("stranger")) as stranger:
        mine, theirs = ask(http, *turns), ask(stranger, *turns)
        first, second = (calls(each)[0]["output"] for each in (mine, theirs))
        assert first != second
        path = f"/v1/responses/{begin(http, SHORT, 'Done.')}"
        for foreign in (path, f"/v1/responses/{mine['id']}"):
            assert stranger.get(foreign).status_code == 404
            assert stranger.get(f"{foreign}/input_items").status_code == 404
            assert stranger.get(foreign, params={"stream": "true"}).status_code == 404
            assert stranger.post(f"{foreign}/cancel").status_code == 404
            assert stranger.delete(foreign).status_code == 404
        chained = {"model": "refunds", "input": "Hi", "previous_response_id": mine["id"]}
        assert stranger.post("/v1/responses", json=chained).status_code == 400
        reference = [{"type": "item_reference", "id": calls(mine)[0]["id"]}]
        named = {"model": "refunds", "input": reference}
        assert stranger.post("/v1/responses", json=named).status_code == 404
