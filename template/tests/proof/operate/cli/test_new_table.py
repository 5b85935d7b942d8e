"""A feature with a table of its own, as the guide shows it: written, migrated, served."""

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.forked import Forked
from tests.isolation import own_folder
from tests.proof.copies import copied
from tests.service import LIMIT, PROJECT, eventually, free_port

GUIDE = PROJECT / "docs" / "adding-a-table.md"


class Project:
    """A copy of the project with a database of its own."""

    def __init__(self, folder: Path) -> None:
        own_folder(folder)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.features = folder / "app" / "features"
        self._folder = copied(folder)
        (folder / "tests" / "features").mkdir(parents=True)

    def start(self, *command: str) -> Forked:
        environment = {
            "DATABASE_URL": f"sqlite:///{self._folder / 'app.db'}",
            "REDIS_URL": "none",
            "MODEL_PROVIDER": "simulated",
            "PORT": self.url.rpartition(":")[2],
        }
        output, errors = self._output(command), self._folder / "errors"
        everything = os.environ | environment
        return Forked(command, everything, output, errors, project=self._folder)

    def run(self, *command: str) -> str:
        code = self.start(*command).wait(LIMIT)
        said = self._output(command).read_text()
        assert code == 0, said
        return said.strip()

    @contextmanager
    def serving(self) -> Iterator[None]:
        process = self.start("api")
        try:
            eventually(self._answers)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)

    def caller(self, name: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.run('keys', 'create', name)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=LIMIT)

    def _output(self, command: Sequence[str]) -> Path:
        return self._folder / f"{'-'.join(command)}.out"

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready").status_code == 200
        except httpx.TransportError:
            return False


def shown(pattern: str) -> str:
    """Return what the guide shows there."""
    found = re.search(pattern, GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project after what the guide says."""
    project = Project(tmp_path)
    project.run("new", "table", "notes")
    (project.features / "notes" / "endpoint.py").write_text(shown(r"^```python\n(.*?)^```"))
    routers = project.features / "endpoints.py"
    imported, entry = shown(r"`(from app\.features\.[^`]*)`"), shown(r"^`([^`]*)` in `ROUTERS`")
    with_entry = routers.read_text().replace("] = [", f"] = [{entry}, ")
    routers.write_text(with_entry.replace("\n\nfrom", f"\n\n{imported}\nfrom", 1))
    project.run("migrate")
    return project


def test_each_caller_has_its_own_rows_in_the_table_of_the_guide(project: Project) -> None:
    with project.serving(), project.caller("one") as one, project.caller("other") as other:
        for text in ("first", "second"):
            answer = one.post("/v1/notes", json={"text": text})
            assert (answer.status_code, answer.json()) == (201, {"text": text})
        assert one.get("/v1/notes").json() == [{"text": "second"}, {"text": "first"}]
        assert other.get("/v1/notes").json() == []
        assert httpx.get(f"{project.url}/v1/notes").status_code == 401
