"""Each experiment of the laboratory shows its bug, and the report loads nothing from elsewhere."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.proof.machines.processes import alive, tree
from tests.service import PROJECT, eventually

LOADS = {"src", "href", "srcset", "data", "action", "poster", "background"}
VOID = {"meta", "link", "br", "img", "input", "hr"}
APP = [sys.executable, "-m", "app.cli", "lab"]

pytestmark = pytest.mark.skipif(not (PROJECT / "lab").exists(), reason="lab/ has been deleted")


class Page(HTMLParser):
    """What a page loads, what of it is not closed, and its measures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.measures: list[dict[str, Any]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in LOADS]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in LOADS]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.measures = json.loads(data)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a short run of two experiments."""
    out = tmp_path_factory.mktemp("lab") / "lab.html"
    short = ["--only", "blocking", "--only", "contamination", "--seconds", "1"]
    subprocess.run([*APP, "--out", str(out), *short], cwd=PROJECT, check=True, timeout=100)
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_report_is_one_file_that_loads_nothing(text: str, page: Page) -> None:
    assert page.open == []
    assert all(load.startswith(("#", "data:")) for load in page.loads)
    assert not re.search(r"https?://|url\(|@import", text)


def test_each_experiment_has_its_verdict_and_plots(text: str, page: Page) -> None:
    assert [each["name"] for each in page.measures] == ["blocking", "contamination"]
    assert all(each["shown"] for each in page.measures), page.measures
    runs = sum(len(each["runs"]) for each in page.measures)
    assert len(re.findall("<svg ", text)) == 2 * runs


def test_one_blocking_call_holds_up_everybody_and_an_awaited_one_nobody(page: Page) -> None:
    blocking, *_, awaited = page.measures[0]["runs"]
    assert blocking["median"] > 5 * awaited["median"]
    assert blocking["lag"] > 3 * awaited["lag"]
    assert awaited["rate"] > 3 * blocking["rate"]


def test_a_global_mixes_callers_up_and_a_request_does_not(page: Page) -> None:
    shared, own = page.measures[1]["runs"]
    assert shared["wrong_rate"] > shared["rate"] / 20
    assert own["wrong_rate"] == 0


def test_an_unknown_experiment_is_told_in_a_sentence(tmp_path: Path) -> None:
    out = str(tmp_path / "lab.html")
    result = subprocess.run(
        [*APP, "--out", out, "--only", "nonsense"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("There is no experiment nonsense. There are: blocking, ")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let processes hear Ctrl-C that start here: a shell's `&` makes its own deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_no_process_and_no_file_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    out = str(tmp_path / "lab.html")
    command = [*APP, "--out", out, "--only", "blocking"]
    processes: dict[int, str] = {}

    def whole(root: int) -> bool:
        processes.update(tree(root))  # one look may miss the probe or the server
        commands = " ".join(processes.values())
        return "lab.server" in commands and "lab.probe" in commands

    with subprocess.Popen(command, cwd=PROJECT, env=environment) as lab:
        eventually(lambda: whole(lab.pid))
        lab.send_signal(signal.SIGINT)
        assert lab.wait(20)
    assert not [command for pid, command in processes.items() if alive(pid)]
    assert list(tmp_path.iterdir()) == []
