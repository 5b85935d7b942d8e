"""Code of past releases and the tables of the working tree, with processes and a batch at work.

Each release from 1.0 on works on these tables: API, worker and commands. Of 0.x the rows are kept.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from copier import run_copy
from openai import OpenAI

from demo.batch import run_batch
from demo.service import Service, environment, run, running
from tests.conftest import REPOSITORY, Render
from tests.releases import RELEASES, clone_with_tags
from tests.scratch import scratch_postgres

WORKING_TREE = "working tree"
"""Stands for the last release while none is 1.0 or newer."""
COMPATIBLE = [each for each in RELEASES if int(each.partition(".")[0]) >= 1] or [WORKING_TREE]
KEPT = [each for each in RELEASES if each in {"0.3.0", "0.4.0"}]
BODY = {
    "model": "simulated-chat",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 4,
}
BODIES: Mapping[str, dict[str, object]] = {f"item-{number}": BODY for number in range(200)}
SETTINGS = {
    "REDIS_URL": "none",
    "MODEL_PROVIDER": "simulated",
    "SIMULATED_LATENCY": "0.1",
    "BATCH_CHUNK": "4",
    "LEASE_SECONDS": "5",
    "LOG_LEVEL": "INFO",
    "REQUESTS_PER_MINUTE": "0",  # a busy machine takes longer, and the callers ask all the time
}


@dataclass(frozen=True)
class Code:
    """A project with an environment of its own, and the settings of all its processes."""

    project: Path
    python: Path
    settings: Mapping[str, str]

    def app(self, *arguments: str) -> str:
        """Return what a command prints; raise `Failed` where it fails."""
        return run([*self._app, *arguments], self.project, **self.settings)

    def api(self) -> AbstractContextManager[Service]:
        """Run the API, until the block ends."""
        return running(self.project, [*self._app, "api"], self.settings)

    @contextmanager
    def worker(self, end: signal.Signals = signal.SIGTERM) -> Iterator[None]:
        """Run a worker, which the signal ends."""
        variables = environment(**self.settings)
        with subprocess.Popen([*self._app, "worker"], cwd=self.project, env=variables) as process:
            try:
                yield
            finally:
                process.send_signal(end)
        assert process.returncode == (0 if end == signal.SIGTERM else -end)

    @property
    def _app(self) -> list[str]:
        return [str(self.python), "-m", "app.cli"]


MakeCode = Callable[[str, Mapping[str, str]], Code]


@pytest.fixture(scope="session")
def code(checkout: Render, tmp_path_factory: pytest.TempPathFactory) -> MakeCode:
    """Return the code of a release, or of the working tree, with the libraries of its own."""
    folder = tmp_path_factory.mktemp("old_code")
    clone = cache(lambda: clone_with_tags(REPOSITORY, folder, RELEASES))

    @cache
    def project(version: str) -> Path:
        if version == WORKING_TREE:
            return checkout({})
        copy = folder / version
        run_copy(str(clone()), copy, vcs_ref=f"v{version}", defaults=True, quiet=True)
        return copy

    @cache
    def python(version: str) -> Path:
        venv = folder / f"{version.replace(' ', '_')}_environment"
        sync = ["uv", "sync", "--quiet", "--no-default-groups", "--no-install-project"]
        run(sync, project(version), UV_PROJECT_ENVIRONMENT=str(venv))
        return venv / "bin" / "python"

    return lambda version, settings: Code(project(version), python(version), settings)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.installed)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Settings with an empty database of each kind."""
    own = SETTINGS | {"DATA_DIR": str(tmp_path)}
    if request.param == "sqlite":
        yield own | {"DATABASE_URL": f"sqlite:///{tmp_path / 'app.db'}"}
        return
    with scratch_postgres() as url:
        yield own | {"DATABASE_URL": url}


@contextmanager
def load(client: OpenAI) -> Iterator[None]:
    """Chat without pause, four at once; each chat must be answered."""
    going = True

    def chat() -> None:
        while going:
            client.chat.completions.create(**BODY)  # type: ignore[call-overload]

    with ThreadPoolExecutor(4) as pool:
        chats = [pool.submit(chat) for _ in range(4)]
        try:
            yield
        finally:
            going = False
    for each in chats:
        each.result()


@pytest.mark.parametrize("version", COMPATIBLE)
def test_the_code_of_a_release_works_on_the_new_tables(
    code: MakeCode, settings: Mapping[str, str], version: str
) -> None:
    """They become new while its processes work."""
    old, new = code(version, settings), code(WORKING_TREE, settings)
    old.app("migrate")
    key = old.app("keys", "create", "ada").split()[0]
    migrated: list[str] = []

    def migrate(done: int) -> None:
        if done and not migrated:
            migrated.append(new.app("migrate"))

    with (
        old.api() as api,
        old.worker(),
        OpenAI(base_url=f"{api.url}/v1", api_key=key) as client,
        load(client),
    ):
        answers = run_batch(client, BODIES, migrate)
        answers |= run_batch(client, {"later": BODY})
    assert migrated
    assert answers.keys() == {*BODIES, "later"}
    assert "ada" in old.app("keys", "list")
    assert "completed" in old.app("jobs", "list")
    old.app("queue", "status")
    old.app("migrate")


class HalfDone(Exception):
    """Some items of the batch have ended, and some have not."""


@pytest.mark.campaign
@pytest.mark.parametrize("version", KEPT)
def test_work_of_0_x_is_finished_after_the_migration(
    code: MakeCode, settings: Mapping[str, str], version: str
) -> None:
    old, new = code(version, settings), code(WORKING_TREE, settings)
    old.app("migrate")
    key = old.app("keys", "create", "ada").split()[0]

    def stop(done: int) -> None:
        if done:
            raise HalfDone

    with (
        old.api() as api,
        old.worker(signal.SIGKILL),
        OpenAI(base_url=f"{api.url}/v1", api_key=key) as client,
        pytest.raises(HalfDone),
    ):
        run_batch(client, BODIES, stop)
    new.app("migrate")
    with new.api() as api, new.worker(), OpenAI(base_url=f"{api.url}/v1", api_key=key) as client:
        (batch,) = client.batches.list().data
        deadline = time.monotonic() + 120
        while (batch := client.batches.retrieve(batch.id)).status != "completed":
            assert time.monotonic() < deadline, batch.to_json()
            time.sleep(0.2)
        assert batch.output_file_id
        answers = client.files.content(batch.output_file_id).text.splitlines()
    assert len(answers) == len({*answers}) == len(BODIES)
