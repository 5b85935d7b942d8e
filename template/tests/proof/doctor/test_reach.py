"""A finding tells how a request comes to it; other people's code is left alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import doctor
from doctor.examination import NotAnAppError, examine, find_app
from tests.service import PROJECT

APP = """
import time
from fastapi import FastAPI
from {library} import pause

app = FastAPI()

class Clock:
    def wait(self):
        {call}

def wait():
    Clock().wait()

@app.get("/a")
async def a():
    wait()

@app.get("/b")
async def b():
    a_clock = Clock()
    a_clock.wait()

def create_app():
    return app
"""


SHARING = """
import requests
from fastapi import FastAPI
from engine.slots.own_threads import own_threads

app = FastAPI()

def fetch():
    return requests.get("http://upstream", timeout=5).text

@app.get("/own")
@own_threads(4)
def own():
    return fetch()

@app.get("/shared")
def shared():
    text = fetch()
    return text
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are imported from."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_finding_names_its_routes_and_the_shortest_chain_of_calls(folder: Path) -> None:
    (folder / "chained.py").write_text(
        APP.format(library="time", call="time.sleep(1)").replace("from time import pause\n", "")
    )
    found, source = find_app("chained:create_app")
    (finding,) = examine(found, source).findings
    assert finding.rule.id == "EX100"
    assert set(finding.routes) == {"GET /a", "GET /b"}
    assert finding.chain == ("b", "Clock.wait")
    assert (finding.path, finding.line) == (folder / "chained.py", 9)


def test_a_slow_call_is_told_of_the_handlers_that_have_no_threads_of_their_own(
    folder: Path,
) -> None:
    (folder / "sharing.py").write_text(SHARING)
    (finding,) = examine(*find_app("sharing:app")).findings
    assert (finding.rule.id, finding.routes) == ("EX504", ("GET /shared",))


def test_a_library_is_known_as_it_is_now_and_not_as_an_earlier_examination_met_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "examined_twice.py").write_text(APP.format(library="slow", call="pause()"))
    (folder / "slow.py").write_text("from time import sleep as pause\n")
    app = find_app("examined_twice:app")
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", lambda _seconds: None)
        assert examine(*app).findings == []
    assert len(examine(*app).findings) == 1


def test_code_in_site_packages_is_never_blamed(folder: Path) -> None:
    packages = folder / "site-packages"
    packages.mkdir()
    (packages / "slow_library.py").write_text("import time\ndef pause(): time.sleep(1)\n")
    sys.path.insert(0, str(packages))
    (folder / "careful.py").write_text(APP.format(library="slow_library", call="pause()"))
    try:
        assert examine(*find_app("careful:app")).findings == []
    finally:
        sys.path.remove(str(packages))


def test_a_package_of_the_same_name_as_a_loaded_one_is_refused(folder: Path) -> None:
    (folder / "app").mkdir()
    with pytest.raises(NotAnAppError, match="app is loaded from"):
        find_app("app.main:create_app")


def test_a_copy_of_the_doctor_examines_the_app_beside_it(folder: Path) -> None:
    shutil.copytree(Path(doctor.__file__).parent, folder / "doctor")
    (folder / "app").mkdir()
    (folder / "app" / "__init__.py").touch()
    code = APP.format(library="time", call="time.sleep(1)").replace("from time import pause\n", "")
    (folder / "app" / "main.py").write_text(code)
    command = [sys.executable, "-m", "doctor.command", "app.main:app"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "EX100" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("json", "module:app"),
        ("no_such_module:app", "no module no_such_module"),
        ("json:loads", "no FastAPI app"),
        ("json:nothing", "no FastAPI app"),
    ],
)
def test_a_name_without_an_app_is_told_in_a_sentence(name: str, message: str) -> None:
    with pytest.raises(NotAnAppError, match=message):
        find_app(name)


def test_the_doctor_imports_nothing_of_this_app() -> None:
    script = (
        "import sys, doctor.report;"
        "print([name for name in sys.modules"
        " if name.split('.')[0] in ('app', 'engine')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
