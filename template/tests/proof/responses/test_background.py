"""Background responses: no event lost or told twice, whatever happens to workers and readers."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from redis import Redis
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from engine.sql.tables import JobRow, ResponseEventRow, ResponseItemRow, ResponseRow
from tests.receiver import Receiver
from tests.servers import EmbeddedRedis, running
from tests.service import Service, eventually, free_port, service

MODEL = "simulated-chat"
FINAL = {"completed", "incomplete", "failed", "cancelled"}
SLOW = {"model": MODEL, "input": "Hello", "background": True, "max_output_tokens": 40}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose model says 20 words a second; no worker runs yet."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with service(
        tmp_path_factory.mktemp("responses"),
        redis_url,
        url,
        lease_seconds=1.5,
        sweep_seconds=0.2,
        shutdown_grace=0.3,
        simulated_tokens_per_second=20,
        webhook_private_addresses=True,
    ) as ready:
        ready.start("api")
        yield ready


@pytest.fixture
def worked(api: Service) -> Iterator[Service]:
    """The service, whose workers end with the test."""
    yield api
    for program in api.programs[1:]:
        program.stop()


@pytest.fixture
def client(api: Service) -> Iterator[OpenAI]:
    with api.client(api.new_key(), max_retries=0) as official:
        yield official


@pytest.fixture
def http(api: Service, client: OpenAI) -> Iterator[httpx.Client]:
    with api.http(client.api_key) as opened:
        yield opened


def start(http: httpx.Client, **more: object) -> dict[str, Any]:
    answer = http.post("/v1/responses", json={**SLOW, **more})
    assert answer.status_code == 200, answer.text
    started: dict[str, Any] = answer.json()
    assert started["status"] == "queued"
    return started


def ended(http: httpx.Client, response_id: str) -> dict[str, Any]:
    def state() -> dict[str, Any]:
        found: dict[str, Any] = http.get(f"/v1/responses/{response_id}").json()
        return found

    eventually(lambda: state()["status"] in FINAL)
    return state()


def read(http: httpx.Client, response_id: str, after: int = -1) -> list[dict[str, Any]]:
    """Return the events after a number, to the end of the stream."""
    query = {"stream": "true", "starting_after": str(after)}
    answer = http.get(f"/v1/responses/{response_id}", params=query)
    assert answer.status_code == 200, answer.text
    return [
        json.loads(line.removeprefix("data: "))
        for line in answer.text.splitlines()
        if line.startswith("data: ")
    ]


def deltas_logged(session: Session, response_id: str) -> bool:
    events = select(func.max(ResponseEventRow.last_seq))
    last = session.scalar(events.where(ResponseEventRow.response_id == response_id))
    return bool(last and last > 8)


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [each["sequence_number"] for each in events]


def text(events: list[dict[str, Any]]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


def test_a_background_response_is_polled_to_its_end(worked: Service, client: OpenAI) -> None:
    worked.start("worker")
    started = client.responses.create(model=MODEL, input="Hello", background=True)
    assert started.status == "queued"
    eventually(lambda: client.responses.retrieve(started.id).status == "completed")
    final = client.responses.retrieve(started.id)
    assert final.output_text
    assert final.usage
    follow = client.responses.create(model=MODEL, input="More", previous_response_id=started.id)
    assert follow.output_text


def test_a_stream_of_a_background_response_is_resumed_after_each_event(
    worked: Service, http: httpx.Client
) -> None:
    worked.start("worker")
    started = start(http, max_output_tokens=6)
    whole = read(http, started["id"])
    assert numbers(whole) == list(range(len(whole)))
    assert [e["type"] for e in whole[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert whole[-1]["type"] == "response.incomplete"
    other = worked.start("api", PORT=str(free_port()))
    with httpx.Client(base_url=other.url, headers=http.headers, timeout=60) as elsewhere:
        for after in numbers(whole):
            assert read(elsewhere, started["id"], after) == whole[after + 1 :]


def test_the_client_follows_a_background_stream(worked: Service, client: OpenAI) -> None:
    worked.start("worker")
    stream = client.responses.create(model=MODEL, input="Hi", background=True, stream=True)
    events = list(stream)
    assert [each.sequence_number for each in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"


def test_a_response_goes_on_when_its_reader_leaves(worked: Service, http: httpx.Client) -> None:
    worked.start("worker")
    asked = {**SLOW, "stream": True}
    with http.stream("POST", "/v1/responses", json=asked) as answer:
        created = next(line for line in answer.iter_lines() if line.startswith("data: "))
    started = json.loads(created.removeprefix("data: "))["response"]
    assert ended(http, started["id"])["status"] == "incomplete"
    events = read(http, started["id"])
    assert numbers(events) == list(range(len(events)))


def test_a_reader_misses_nothing_while_redis_is_wiped(
    worked: Service, http: httpx.Client, redis_url: str
) -> None:
    worked.start("worker")
    started = start(http)
    eventually(lambda: worked.in_database(deltas_logged, started["id"]))
    Redis.from_url(redis_url).flushall()
    events = read(http, started["id"])
    assert numbers(events) == list(range(len(events)))
    assert events[-1]["type"] == "response.incomplete"


def test_a_response_goes_on_and_is_read_while_redis_is_away(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("away")
    slow = {"sweep_seconds": 0.2, "simulated_tokens_per_second": 20}
    with (
        running(EmbeddedRedis(folder)) as redis,
        service(folder, redis.url, **slow) as alone,  # type: ignore[arg-type]
        alone.http(alone.new_key()) as http,
    ):
        alone.start("api", "worker")
        started = start(http)
        eventually(lambda: alone.in_database(deltas_logged, started["id"]))
        assert http.get(f"/v1/responses/{started['id']}").json()["status"] == "in_progress"
        redis.stop()
        events = read(http, started["id"])
    assert numbers(events) == list(range(len(events)))
    assert events[-1]["type"] == "response.incomplete"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_a_lost_workers_answer_is_given_again_by_another(
    worked: Service, http: httpx.Client, number: signal.Signals
) -> None:
    first = worked.start("worker", SIMULATED_TOKENS_PER_SECOND="1")  # 40 s: it cannot end before
    started = start(http)
    eventually(lambda: worked.in_database(deltas_logged, started["id"]))
    if number is signal.SIGSTOP:
        worked.freeze(first)
    else:
        first.stop(number)
    worked.start("worker")
    final = ended(http, started["id"])
    first.stop()
    events = read(http, started["id"])
    assert numbers(events) == list(range(len(events)))
    added = [e["output_index"] for e in events if e["type"] == "response.output_item.added"]
    done = [e["output_index"] for e in events if e["type"] == "response.output_item.done"]
    # A busy machine may take its lease from the second worker too: then there is a third item.
    assert added == done == list(range(len(added)))
    assert len(added) > 1
    (item,) = final["output"]
    last = [e for e in events if e.get("item_id") == item["id"]]
    assert item["content"][0]["text"] == text(last)
    assert final == events[-1]["response"]
    assert worked.in_database(item_ids, started["id"]) == [item["id"]]


def item_ids(session: Session, response_id: str) -> list[str]:
    items = select(ResponseItemRow.id).where(
        ResponseItemRow.response_id == response_id, ResponseItemRow.output
    )
    return list(session.scalars(items))


def test_a_cancelled_response_ends_at_once_and_stays_so(
    worked: Service, http: httpx.Client
) -> None:
    worked.start("worker")
    started = start(http)
    eventually(lambda: worked.in_database(deltas_logged, started["id"]))
    answer = http.post(f"/v1/responses/{started['id']}/cancel").json()
    assert answer["status"] == "cancelled"
    eventually(lambda: worked.in_database(job_status, started["id"]) == "cancelled")
    assert http.get(f"/v1/responses/{started['id']}").json() == answer
    assert http.post(f"/v1/responses/{started['id']}/cancel").json() == answer
    assert read(http, started["id"])[-1]["type"] != "response.completed"


def job_status(session: Session, response_id: str) -> str:
    job = select(JobRow.status).join(ResponseRow, ResponseRow.job_id == JobRow.id)
    return session.scalars(job.where(ResponseRow.id == response_id)).one()


def test_a_queued_response_is_cancelled_before_a_worker_comes(
    api: Service, http: httpx.Client
) -> None:
    started = start(http)
    assert http.post(f"/v1/responses/{started['id']}/cancel").json()["status"] == "cancelled"
    assert api.in_database(job_status, started["id"]) == "cancelled"


def test_a_foreground_response_cannot_be_cancelled(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="Hello", max_output_tokens=2)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(made.id)


def test_a_response_that_runs_is_deleted_with_its_events(
    worked: Service, http: httpx.Client
) -> None:
    worked.start("worker")
    started = start(http)
    eventually(lambda: worked.in_database(deltas_logged, started["id"]))
    assert http.delete(f"/v1/responses/{started['id']}").json()["deleted"]
    assert http.get(f"/v1/responses/{started['id']}").status_code == 404
    assert worked.in_database(rows_left, started["id"]) == 0


def rows_left(session: Session, response_id: str) -> int:
    tables = ResponseEventRow, ResponseItemRow
    counts = [select(func.count()).where(each.response_id == response_id) for each in tables]
    return sum(session.scalar(each) or 0 for each in counts)


def test_a_response_whose_time_is_over_has_failed(api: Service, http: httpx.Client) -> None:
    started = start(http)
    api.in_database(let_expire, started["id"])
    api.start("worker")
    final = ended(http, started["id"])
    assert final["status"] == "failed"
    assert final["error"]["code"] == "server_error"
    events = read(http, started["id"])
    assert numbers(events) == list(range(len(events)))
    assert events[-1]["type"] == "response.failed"
    for program in api.programs[1:]:
        program.stop()


def let_expire(session: Session, response_id: str) -> None:
    job = select(ResponseRow.job_id).where(ResponseRow.id == response_id)
    late = update(JobRow).where(JobRow.id == session.scalars(job).one())
    session.execute(late.values(deadline_at=1.0))


def test_webhooks_tell_of_the_end_in_openais_words(
    worked: Service, http: httpx.Client, client: OpenAI, receiver: Receiver
) -> None:
    events = ["response.completed", "response.incomplete", "response.cancelled", "job.succeeded"]
    asked = {"name": "mine", "url": receiver.url, "event_types": events}
    secret = http.post("/v1/webhook_endpoints", json=asked).json()["signing_secret"]
    worked.start("worker")
    started = start(http, max_output_tokens=3)
    ended(http, started["id"])
    eventually(lambda: receiver.requests)
    (message,) = receiver.requests
    told = client.webhooks.unwrap(message.body, message.headers, secret=secret)
    assert told.type == "response.incomplete"
    assert told.data.id == started["id"]


def test_an_idempotency_key_starts_one_response(api: Service, http: httpx.Client) -> None:
    sent = {"idempotency-key": "once"}
    first, second = (http.post("/v1/responses", json=SLOW, headers=sent).json() for _ in range(2))
    assert first == second


def test_a_refused_stream_starts_nothing(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    asked = {**SLOW, "stream": True}
    with service(tmp_path_factory.mktemp("full"), redis_url, max_streams=1) as full:
        full.start("api")
        with (
            full.http(full.new_key()) as http,
            http.stream("POST", "/v1/responses", json=asked) as first,
        ):
            assert first.status_code == 200
            assert http.post("/v1/responses", json=asked).status_code == 503
        assert full.in_database(responses_made) == 1


def responses_made(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ResponseRow)) or 0


def test_a_background_response_must_be_stored(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=MODEL, input="Hello", background=True, store=False)
    assert caught.value.param == "store"


def test_another_caller_reaches_none_of_it(api: Service, http: httpx.Client) -> None:
    started = start(http)
    with api.http(api.new_key("stranger")) as stranger:
        path = f"/v1/responses/{started['id']}"
        assert stranger.get(path).status_code == 404
        assert stranger.get(path, params={"stream": "true"}).status_code == 404
        assert stranger.get(f"{path}/input_items").status_code == 404
        assert stranger.post(f"{path}/cancel").status_code == 404
        assert stranger.delete(path).status_code == 404
        chained = {"model": MODEL, "input": "Hi", "previous_response_id": started["id"]}
        assert stranger.post("/v1/responses", json=chained).status_code == 400
    assert http.get(f"/v1/responses/{started['id']}").status_code == 200
