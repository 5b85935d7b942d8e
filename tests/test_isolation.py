"""A project's tests touch only what they made, whatever `.env`, `settings.toml` and shell say.

The same run shows three things more: they need no server of the system, they skip nothing, and they
pass on the lowest Python with the lowest libraries.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from demo.service import Failed
from tests import moves
from tests.conftest import Environment, Render, find_python
from tests.scratch import Doorbell, scratch_sqlite
from tests.test_rendered_project import SUITE, in_environment

SERVERS = re.compile(r"(redis|valkey|nginx|postgres|pg_|initdb)")


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with all programs of this machine but servers."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for program in Path(place).glob("*"):
            link = folder / program.name
            if not SERVERS.match(program.name) and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


@pytest.mark.whole_suite
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("interpreter", ["3.11"], indirect=True)
def test_the_tests_touch_no_database_that_they_did_not_make(
    render: Render, environment: Environment, interpreter: str, tmp_path: Path, bare_path: str
) -> None:
    project = tmp_path / "project"
    shutil.copytree(render({}), project)
    files = {name: tmp_path / f"{name}.db" for name in ("of_the_shell", "of_the_file")}
    before = {name: scratch_sqlite(path) for name, path in files.items()}
    moves.change_settings_file(project, database_url=f"sqlite:///{files['of_the_file']}")
    of_the_shell = {"DATABASE_URL": f"sqlite:///{files['of_the_shell']}", "LOG_LEVEL": "ERROR"}
    variables = environment(interpreter, lowest=True)
    with Doorbell() as postgres:
        (project / ".env").write_text(f"DATABASE_URL={postgres.url}\nREDIS_URL=redis://none.test\n")
        output = in_environment(project, variables, *SUITE, path=bare_path, **of_the_shell)
        assert postgres.take_visitors() == 0
    assert {name: path.read_bytes() for name, path in files.items()} == before
    assert sorted(tmp_path.glob("*.db*")) == sorted(files.values())
    assert not (project / ".data").exists()
    assert re.search(r"^\d+ passed in", output, re.MULTILINE), output[-2000:]


def test_a_visitor_is_seen(environment: Environment, tmp_path: Path) -> None:
    visit = "import asyncio, asyncpg, sys; asyncio.run(asyncpg.connect(sys.argv[1], timeout=1))"
    variables = environment(find_python("3.13") or sys.executable)
    with Doorbell() as postgres:
        with pytest.raises(Failed, match="TimeoutError"):
            in_environment(tmp_path, variables, "python", "-c", visit, postgres.url)
        assert postgres.take_visitors() == 1
