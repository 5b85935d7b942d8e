import asyncio
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.settings import Settings
from engine.operate.cli import PROJECT
from engine.operate.cli.settings import example_file
from engine.settings import SETTINGS_FILES
from engine.settings.urls import MASK, mask_secrets
from tests.forked import Forked
from tests.service import LIMIT
from tests.tables import new_database


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without settings but for a data folder of the test's own."""
    return os.environ | {"DATA_DIR": str(tmp_path / "data")}


class Ended(NamedTuple):
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


class Run:
    """The command, as a process of its own that starts in another folder than the project's."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._number = itertools.count()

    def start(self, *arguments: str) -> Callable[[], Ended]:
        name = f"run-{next(self._number)}"
        output, errors = self._folder / f"{name}.out", self._folder / f"{name}.err"
        process = Forked(arguments, self._environment, output, errors)
        return lambda: Ended(process.wait(LIMIT), output.read_text(), errors.read_text())

    def __call__(self, *arguments: str) -> Ended:
        return self.start(*arguments)()


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    return Run(environment, tmp_path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to read settings files from."""
    monkeypatch.delenv(SETTINGS_FILES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_table() -> dict[str, list[str]]:
    lines = CliRunner().invoke(app, ["settings"]).stdout.splitlines()[1:]
    rows = [re.split(r"\s{2,}", line) for line in lines]
    return {name: rest for name, *rest in rows}


class TestSettings:
    def test_each_setting_says_where_it_came_from(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "settings.toml").write_text('host = "1.1.1.1"\nport = 1\nservice_name = "Toml"')
        (folder / ".env").write_text("PORT=2\nLOG_LEVEL=DEBUG\n")
        monkeypatch.setenv("LOG_LEVEL", "ERROR")
        table = settings_table()
        assert table["HOST"] == ["1.1.1.1", "settings.toml"]
        assert table["SERVICE_NAME"] == ["Toml", "settings.toml"]
        assert table["PORT"] == ["2", ".env"]
        assert table["LOG_LEVEL"] == ["ERROR", "environment"]
        assert table["SERVICE_SLUG"] == [Settings.model_fields["service_slug"].default, "default"]
        assert set(table) == {name.upper() for name in Settings.model_fields}

    @pytest.mark.usefixtures("folder")
    def test_no_secret_is_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "hush")
        monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@host/db?password=hush&ssl=on")
        monkeypatch.setenv("REDIS_URL", "redis://:hush@host/0")
        result = CliRunner().invoke(app, ["settings"])
        assert result.exit_code == 0
        assert "hush" not in result.stdout
        assert f"postgresql://me:{MASK}@host/db?password={MASK}&sslmode=require" in result.stdout

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://host/0", "redis://host/0"),
            ("postgresql://me@host/db", "postgresql://me@host/db"),
            ("redis://:p@ss:w/rd@host", f"redis://:{MASK}@host"),
            ("https://host/v1?api_key=k", f"https://host/v1?api_key={MASK}"),
        ],
    )
    def test_passwords_of_urls_are_masked(self, url: str, shown: str) -> None:
        assert mask_secrets(url) == shown

    def test_the_example_file_is_the_generated_one(self) -> None:
        command = "`uv run app settings --env-example > .env.example` writes it anew"
        assert (PROJECT / ".env.example").read_text() == example_file(), command

    def test_every_line_of_the_example_file_parses_to_its_default(self, folder: Path) -> None:
        lines = [line[2:] for line in example_file().splitlines() if re.match(r"# [A-Z_]+=", line)]
        (folder / ".env").write_text("\n".join(lines))
        assert Settings() == Settings(_env_file=None)
        assert len(lines) == len(Settings.model_fields)


class TestMisconfigured:
    def test_all_gaps_of_production_are_told_at_once(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        environment |= {"APP_ENV": "production", "MODEL_PROVIDER": "simulated"}
        result = Run(environment, tmp_path)("api")
        assert result.returncode == 2
        headline, *problems = result.stderr.splitlines()
        assert headline == "The settings do not allow a start:"
        assert [problem.split()[0] for problem in problems] == [
            "DATABASE_URL",
            "REDIS_URL",
            "MODEL_PROVIDER",
        ]

    @pytest.mark.parametrize("command", ["api", "worker", "migrate", "settings", "dev"])
    def test_every_command_refuses_a_wrong_value(
        self, environment: dict[str, str], tmp_path: Path, command: str
    ) -> None:
        result = Run(environment | {"PORT": "many"}, tmp_path)(command)
        assert result.returncode == 2
        assert result.stderr.startswith("The settings do not allow a start:\n  PORT: ")
        assert "Traceback" not in result.stderr


class TestStart:
    @pytest.mark.parametrize("command", ["api", "worker"])
    def test_an_unknown_provider_is_told_in_a_sentence(
        self, environment: dict[str, str], tmp_path: Path, command: str
    ) -> None:
        run = Run({**environment, "MODEL_PROVIDER": "nonsense", "PORT": "0"}, tmp_path)
        assert run("migrate").returncode == 0
        started = run(command)
        assert started.returncode
        assert "MODEL_PROVIDER is nonsense: it must be one of local, openai, simulated" in (
            started.stderr
        )
        assert "Traceback" not in started.stderr

    @pytest.mark.parametrize("command", ["api", "worker"])
    def test_a_database_that_is_not_there_is_told_in_a_sentence(
        self, environment: dict[str, str], tmp_path: Path, command: str
    ) -> None:
        url = "postgresql://nobody@127.0.0.1:1/none"
        started = Run({**environment, "DATABASE_URL": url, "PORT": "0"}, tmp_path)(command)
        assert started.returncode
        assert "database could not be opened" in started.stderr
        assert "Traceback" not in started.stderr


class TestMigrate:
    @pytest.fixture(autouse=True, params=["sqlite", "postgresql"])
    def database(self, request: pytest.FixtureRequest, environment: dict[str, str]) -> None:
        if request.param == "postgresql":
            server: str = request.getfixturevalue("postgres_url")
            environment["DATABASE_URL"] = asyncio.run(new_database(server))

    def test_a_new_database_gets_all_tables(self, run: Run) -> None:
        assert re.fullmatch(r"Database: from empty to [\w, ]+\.\n", run("migrate").stdout)
        assert run("keys", "list").returncode == 0

    def test_a_second_run_changes_nothing(self, run: Run) -> None:
        run("migrate")
        assert re.fullmatch(r"Database: already at [\w, ]+\.\n", run("migrate").stdout)

    def test_of_several_at_once_one_works(self, run: Run) -> None:
        together = [run.start("migrate") for _ in range(4)]
        ended = [end() for end in together]
        assert [each.returncode for each in ended] == [0] * 4, ended
        assert sorted("empty" in each.stdout for each in ended) == [False] * 3 + [True]

    @pytest.mark.parametrize("branch", ["engine", "app"])
    def test_the_tables_are_those_of_the_code(
        self, environment: dict[str, str], tmp_path: Path, run: Run, branch: str
    ) -> None:
        run("migrate")
        command, log = ["-x", f"branch={branch}", "check"], tmp_path / "check"
        check = Forked(command, environment, log, project=PROJECT, program="alembic.config")
        assert check.wait(LIMIT) == 0, log.read_text()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose database has its tables."""
    folder = tmp_path_factory.mktemp("tables")
    Run(os.environ | {"DATA_DIR": str(folder)}, folder)("migrate")
    return folder


class TestKeys:
    @pytest.fixture(autouse=True)
    def data(self, environment: dict[str, str], tables: Path) -> None:
        shutil.copytree(tables, environment["DATA_DIR"])

    def test_a_new_key_is_all_that_is_printed(self, run: Run) -> None:
        assert re.fullmatch(r"sk-\S+\n", run("keys", "create", "somebody").stdout)

    def test_the_list_shows_limits_and_flags_but_no_key(self, run: Run) -> None:
        limits = ("--requests-per-minute", "7", "--flag", "a", "--flag", "b")
        key = run("keys", "create", "somebody", *limits).stdout.strip()
        _, row = run("keys", "list").stdout.splitlines()
        assert re.search(r"somebody .* - +7 +1 +0 +a, b$", row)
        assert key not in row

    def test_shares_are_the_callers_and_stay_until_others_are_given(self, run: Run) -> None:
        run("keys", "create", "somebody", "--weight", "2.5", "--priority", "-1")
        run("keys", "create", "somebody")
        run("keys", "create", "other", "--priority", "3")
        run("keys", "create", "other", "--priority", "0")
        rows = [row.split()[-3:] for row in run("keys", "list").stdout.splitlines()[1:]]
        assert rows == [["2.5", "-1", "-"]] * 2 + [["1", "0", "-"]] * 2

    def test_a_revoked_key_says_since_when(self, run: Run) -> None:
        run("keys", "create", "somebody")
        key_id = run("keys", "list").stdout.splitlines()[1].split()[0]
        assert run("keys", "revoke", key_id).returncode == 0
        row = run("keys", "list").stdout.splitlines()[1]
        assert len(re.findall(r"\d{4}-\d\d-\d\d", row)) == 2

    def test_an_unknown_key_cannot_be_revoked(self, run: Run) -> None:
        result = run("keys", "revoke", "nobodys")
        assert result.returncode == 1
        assert result.stderr == "There is no key nobodys: `app keys list` shows them.\n"


def test_keys_of_a_database_without_tables_say_what_to_do(run: Run) -> None:
    result = run("keys", "list")
    assert result.returncode == 1
    assert "has `app migrate` been run?" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_waits_for_nothing_heavy() -> None:
    heavy = {"sqlalchemy", "uvicorn", "alembic", "fastapi", "pydantic"}
    code = f"import sys, app.cli; sys.exit(str({heavy!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert result.stderr == "set()\n"
