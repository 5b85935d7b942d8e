"""The first look, in a browser without the internet, and the switch that turns it off."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.main import create_app
from tests.api.serving import serving
from tests.service import Service

OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--virtual-time-budget=20000",
    "--dump-dom",
]


@pytest.fixture
def chromium() -> str:
    """The browser of the system. It must be installed."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.fail("Chromium is not installed: `apt-get install chromium` brings it")
    return found


def test_a_browser_shows_every_operation(chromium: str, on_sqlite: Service, tmp_path: Path) -> None:
    command = [chromium, *OPTIONS, f"--user-data-dir={tmp_path}", f"{on_sqlite.url}/docs"]
    page = subprocess.run(command, check=True, capture_output=True, text=True, timeout=90).stdout
    with on_sqlite.http() as http:
        paths = http.get("/openapi.json").json()["paths"]
    shown = len(re.findall(r'class="opblock opblock-', page))
    assert shown == sum(len(methods) for methods in paths.values())
    assert "btn authorize" in page


@pytest.mark.anyio
@pytest.mark.parametrize("root", ["", "/llm"])
async def test_every_file_that_the_pages_name_is_there(prepared: Service, root: str) -> None:
    settings = prepared.settings.model_copy(update={"root_path": root})
    async with serving(create_app(settings)) as client:
        pages = [(await client.get(f"{root}{path}")).text for path in ("/", "/docs")]
        named = re.findall(r'(?:href|src|data-url)="(.+?)"', "".join(pages))
        assert {f"{root}/docs", f"{root}/openapi.json"} <= set(named)
        assert all(each.startswith(root) for each in named)
        assert {(await client.get(each)).status_code for each in named} == {200}


@pytest.mark.anyio
@pytest.mark.parametrize(("docs", "status"), [(True, 200), (False, 404)])
async def test_one_setting_turns_all_off(prepared: Service, *, docs: bool, status: int) -> None:
    app = create_app(prepared.settings.model_copy(update={"docs": docs}))
    async with serving(app) as client:
        for path in ("/", "/docs", "/docs/swagger-ui.css", "/openapi.json"):
            assert (await client.get(path)).status_code == status


@pytest.mark.anyio
async def test_production_says_in_json_where_to_go(prepared: Service) -> None:
    settings = prepared.settings.model_copy(update={"app_env": "production"})
    async with serving(create_app(settings)) as client:
        first: dict[str, Any] = (await client.get("/")).json()
        assert first["name"] == settings.service_name
        assert (await client.get(first["documentation"])).status_code == 200
