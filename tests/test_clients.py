"""OpenAI's client and curl against a render, and how `make clients` judges what clients tell."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.campaign import SCRIPTS, STALE, Client, Result, clients, result
from clients.services import FAST, add_agents, doors, variables
from demo.service import running
from tests.conftest import PYTHONS, Environment, Render, find_python

CLIENT = Client("one", "one.py", [["one"]], {"absent*": "It is not there."})
PASSED = '{"version": "1.0"}\n{"check": "chat", "failure": null}'


@pytest.fixture(scope="module")
def known(
    checkout: Render,
    render: Render,
    environment: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, str]]:
    """What a script must know of renders at work, of which none has a local model."""
    interpreter = next(filter(None, map(find_python, PYTHONS)))
    python = f"{environment(interpreter)['UV_PROJECT_ENVIRONMENT']}/bin/python"
    app = [python, "-m", "app.cli"]
    thinking = tmp_path_factory.mktemp("thinking") / "project"
    shutil.copytree(render({"model_provider": "openai"}), thinking)
    add_agents(thinking)
    with (
        running(checkout({"model_provider": "simulated"}), [*app, "dev"], FAST) as service,
        doors(service, {"thinking": thinking}, [*app, "dev"]) as found,
    ):
        yield variables(service, service, found, app)


def test_the_official_client_does_all_that_a_simulated_model_can(known: dict[str, str]) -> None:
    newest = clients(["openai, Python"])[0]
    found = result(newest, [sys.executable, newest.script], SCRIPTS, known)
    assert list(found.faults()) == ["context too long"]  # `make clients` has a local model for it


def test_the_official_client_gets_responses_of_models_that_reason_or_not(
    known: dict[str, str],
) -> None:
    newest = clients(["openai, Python, responses"])[0]
    found = result(newest, [sys.executable, newest.script], SCRIPTS, known)
    assert found.faults() == {}
    assert {name.partition(":")[0] for name in found.passed()} == {"simulated", "thinking"}


@pytest.mark.installed
def test_curl_reads_a_stream_to_its_end(known: dict[str, str]) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    body = json.dumps({"model": "simulated-chat", "messages": messages, "stream": True})
    key = f"Authorization: Bearer {known['CLIENTS_KEY']}"
    url = f"{known['CLIENTS_URL']}/chat/completions"
    command = ["curl", "-sSN", url, "-H", key, "-H", "Content-Type: application/json", "-d", body]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.endswith("data: [DONE]\n\n")


def told(folder: Path, lines: str, ending: int = 0, client: Client = CLIENT) -> Result:
    """Return the result of a script that prints these lines and ends with this code."""
    script = f"print({lines!r}); raise SystemExit({ending})"
    return result(client, [sys.executable, "-c", script], folder, {})


def test_a_client_whose_checks_pass_has_no_fault(tmp_path: Path) -> None:
    found = told(tmp_path, PASSED)
    assert (found.version, found.passed(), found.faults()) == ("1.0", ["chat"], {})


def test_a_failure_is_a_fault_unless_it_is_an_exception(tmp_path: Path) -> None:
    lines = '{"check": "stream", "failure": "cut"}\n{"check": "absent thing", "failure": "404"}'
    found = told(tmp_path, lines)
    assert found.faults() == {"stream": "cut"}
    assert found.expected() == {"absent thing": "It is not there."}


@pytest.mark.parametrize(("version", "faults"), [("1.5", {}), ("2.0", {"chat": "404"})])
def test_an_exception_may_be_that_of_a_version(
    tmp_path: Path, version: str, faults: dict[str, str]
) -> None:
    client = Client("one", "one.py", [["one"]], {"1.* chat": "It was not there yet."})
    lines = f'{{"version": "{version}"}}\n{{"check": "chat", "failure": "404"}}'
    assert told(tmp_path, lines, client=client).faults() == faults


def test_an_exception_that_passes_is_a_fault(tmp_path: Path) -> None:
    found = told(tmp_path, '{"check": "absent thing", "failure": null}')
    assert found.faults() == {"absent thing": STALE}


@pytest.mark.parametrize(("lines", "ending"), [(PASSED, 1), ("", 0), ("Traceback", 1)])
def test_a_script_that_breaks_off_is_a_fault(tmp_path: Path, lines: str, ending: int) -> None:
    assert list(told(tmp_path, lines, ending).faults()) == ["script"]


def test_every_client_has_its_script_and_an_old_version() -> None:
    for client in clients():
        assert (SCRIPTS / client.script).is_file()
        assert len(client.versions) > 1
