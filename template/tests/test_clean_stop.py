"""The API is told to stop while requests are in flight: no answer is lost, none comes late."""

import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from openai import APIError, InternalServerError
from sqlalchemy.orm import Session

from engine.callers import keys, usage
from tests.batches import holding_batches
from tests.held import HELD, HeldModel
from tests.lines import chat_body
from tests.service import Program, Service, eventually, service
from tests.upstream import serving_in_thread

COMMANDS = ["api", "api --workers 2"]
LONG = 600.0
SHORT = 0.5
GRACE = 6.0
"""Seconds for two more requests. At a load of 14 on two processors these took more than 2 s."""


@dataclass
class Api:
    """A running API with a whole answer, a streamed one and a watched batch in flight."""

    service: Service
    program: Program
    key: str
    batch_id: str
    order: list[str] = field(default_factory=list)
    """What came to its end, in this order."""
    watches: bool = False
    """Whether the batch is being watched."""

    def __post_init__(self) -> None:
        self.whole = self._begin("whole", self.ask)
        self.streamed = self._begin("streamed", self.stream)
        self.progress = self._begin("progress", self.watch)

    def ask(self, question: str = HELD) -> str:
        """Return the reason to finish of a whole answer."""
        body: Any = chat_body(question)
        with self.service.client(self.key, max_retries=0) as client:
            return str(client.chat.completions.create(**body).choices[0].finish_reason)

    def stream(self) -> list[str | None]:
        """Return the reason to finish of each chunk of a streamed answer."""
        body: Any = chat_body(HELD, stream=True)
        with self.service.client(self.key, max_retries=0) as client:
            chunks = client.chat.completions.create(**body)
            return [chunk.choices[0].finish_reason for chunk in chunks]

    def watch(self) -> list[str]:
        """Return the events of the batch."""
        path = f"/v1/batches/{self.batch_id}/events"
        with self.service.http(self.key) as http, http.stream("GET", path) as answer:
            self.watches = True
            return "".join(answer.iter_text()).split("\n\n")[:-1]

    def stop(self) -> None:
        """Tell the process to stop."""
        self.program.process.send_signal(signal.SIGTERM)

    def ready(self) -> httpx.Response:
        """Return what /ready says, on a new connection."""
        return httpx.get(f"{self.service.url}/ready")

    def draining(self) -> bool:
        """Whether /ready knows of the end."""
        return self.ready().status_code == 503

    def closed(self) -> bool:
        """Whether nobody listens any more. Who connects and then waits in vain is an error."""
        try:
            self.ready()
        except httpx.ConnectError:
            return True
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            return False  # in the very moment of the closing
        return False

    def counted(self, session: Session) -> int:
        """Return for how many requests tokens are in the database."""
        caller = keys.find_caller(session, self.key)
        assert caller
        return sum(day.requests for day in usage.by_day(session, caller.id, days=2))

    def _begin(self, name: str, ask: Callable[[], Any]) -> Future[Any]:
        threads = ThreadPoolExecutor(1)
        asked = threads.submit(ask)
        threads.shutdown(wait=False)
        asked.add_done_callback(lambda _: self.order.append(name))
        return asked


@dataclass
class Stopped:
    """An API that was told to stop, got one more request, closed, and then got its answers."""

    api: Api
    model: HeldModel

    def __post_init__(self) -> None:
        self.api.stop()
        eventually(self.api.draining)
        self.unready = self.api.ready()
        self.one_more = self.api.ask("Another question")
        eventually(self.api.closed)
        self.api.order.append("closed")
        self.model.released = True
        self.api.program.process.wait(60)
        eventually(lambda: len(self.api.order) == 4)


Start = Callable[..., tuple[Api, HeldModel]]


@pytest.fixture(scope="module")
def start(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts an API; all end with the module."""
    with ExitStack() as stack:

        def start(command: str, **settings: Any) -> tuple[Api, HeldModel]:  # noqa: ANN401
            model = HeldModel()
            url = stack.enter_context(serving_in_thread(model.answer))
            provider: dict[str, Any] = {"model_provider": "openai", "openai_base_url": url}
            folder = tmp_path_factory.mktemp("stopping")
            running = stack.enter_context(service(folder, redis_url, **provider, **settings))
            program, key = running.start(command), running.new_key()
            batch = stack.enter_context(holding_batches())(running, key, 1)
            api = Api(running, program, key, batch.id)
            eventually(lambda: api.watches and model.waiting == 2)
            return api, model

        yield start


@pytest.fixture(scope="module", params=COMMANDS)
def stopped(request: pytest.FixtureRequest, start: Start) -> Stopped:
    return Stopped(*start(request.param, readiness_grace=GRACE))


def test_an_api_that_stops_says_not_ready_before_it_closes(stopped: Stopped) -> None:
    assert stopped.unready.status_code == 503
    assert stopped.unready.json() == {"status": "draining", "resources": {}}


def test_until_it_closes_it_serves_and_closes_connections_politely(stopped: Stopped) -> None:
    assert stopped.one_more == "stop"
    assert stopped.unready.headers["connection"] == "close"


def test_answers_in_flight_are_whole(stopped: Stopped) -> None:
    assert stopped.api.whole.result() == "stop"
    assert stopped.api.streamed.result() == [None, "stop"]


def test_once_closed_nobody_gets_in_although_answers_are_in_flight(stopped: Stopped) -> None:
    assert stopped.api.order.index("closed") == 1


def test_a_watcher_is_sent_away_at_once_and_told_to_come_back(stopped: Stopped) -> None:
    first, last = stopped.api.progress.result()
    comment, retry, state = last.splitlines()
    assert (comment[0], retry) == (":", "retry: 1000")
    assert json.loads(state.removeprefix("data: ")) == json.loads(first.removeprefix("data: "))
    assert stopped.api.order[0] == "progress"


def test_the_usage_of_the_last_requests_is_counted(stopped: Stopped) -> None:
    assert stopped.api.service.in_database(stopped.api.counted) == 3


def told(api: Api) -> tuple[APIError, APIError]:
    """Return what those who are cut off are told: by a whole answer, and by a stream."""
    with pytest.raises(InternalServerError) as whole:
        api.whole.result(60)
    with pytest.raises(APIError) as streamed:
        api.streamed.result(60)
    return whole.value, streamed.value


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_signal_waits_for_nothing(command: str, start: Start) -> None:
    api, _ = start(command, readiness_grace=LONG, shutdown_grace=LONG)
    api.stop()
    eventually(api.draining)
    api.stop()
    assert api.program.process.wait(60) is not None
    assert {error.code for error in told(api)} == {"shutting_down"}


def test_an_answer_that_outlasts_the_grace_ends_with_the_reason(start: Start) -> None:
    api, _ = start("api", shutdown_grace=SHORT)
    api.stop()
    whole, streamed = told(api)
    assert isinstance(whole, InternalServerError)
    assert (whole.status_code, whole.response.headers["retry-after"]) == (503, "1")
    assert whole.code == streamed.code == "shutting_down"
    assert "Send the request again" in streamed.message
    assert api.program.process.wait(60) is not None
