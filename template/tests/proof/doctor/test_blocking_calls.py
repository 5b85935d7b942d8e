"""A call that blocks is named with its line on the event loop, and is let be in a `def` handler."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from doctor.examination import examine, find_app

APP = """
import http.client, os, queue, socket, sqlite3, subprocess, threading, time, urllib.request
import httpx, psycopg, psycopg2, redis, requests
from fastapi import FastAPI

app = FastAPI()

@app.get("/")
{kind} endpoint():
    {call}
"""

CALLS = [
    "time.sleep(0.05)",
    "requests.get('http://upstream', timeout=5)",
    "requests.Session().get('http://upstream', timeout=5)",
    "httpx.Client().get('http://upstream')",
    "urllib.request.urlopen('http://upstream', timeout=5)",
    "http.client.HTTPConnection('upstream').request('GET', '/')",
    "http.client.HTTPSConnection('upstream').getresponse()",
    "sqlite3.connect('rows.db')",
    "psycopg.connect('')",
    "psycopg2.connect('')",
    "redis.Redis().get('name')",
    "redis.from_url('redis://cache').get('name')",
    "socket.getaddrinfo('upstream', 80)",
    "socket.gethostbyname('upstream')",
    "socket.create_connection(('upstream', 80))",
    "subprocess.run(['ls'], timeout=5)",
    "subprocess.Popen(['ls'])",
    "os.system('ls')",
    "os.popen('ls')",
    "queue.Queue().get(timeout=5)",
    "threading.Lock().acquire()",
    "threading.Event().wait(5)",
]


def found(kind: str, call: str, folder: Path) -> list[tuple[str, int]]:
    """Return the findings in a handler that makes this call, with their lines."""
    name = f"blocking_{kind[:1]}_{CALLS.index(call)}"
    (folder / f"{name}.py").write_text(APP.format(kind=kind, call=call))
    examination = examine(*find_app(f"{name}:app"))
    return [(each.rule.id, each.line) for each in examination.findings]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are imported from; two drivers that are not installed are there."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("psycopg", "psycopg2"):
        driver = ModuleType(name)
        vars(driver)["connect"] = lambda _url: None
        monkeypatch.setitem(sys.modules, name, driver)
    return tmp_path


@pytest.mark.parametrize("call", CALLS)
def test_on_the_event_loop_a_blocking_call_is_named_with_its_line(call: str, folder: Path) -> None:
    assert ("EX100", 10) in found("async def", call, folder)


@pytest.mark.parametrize("call", CALLS)
def test_in_a_def_handler_no_finding_says_that_the_loop_stands_still(
    call: str, folder: Path
) -> None:
    assert "EX100" not in dict(found("def", call, folder))
