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


def test_the_first_page_leads_on(on_sqlite: Service) -> None:
    with on_sqlite.http() as http:
        page = http.get("/")
        assert page.headers["content-type"].startswith("text/html")
        links = re.findall(r'href="(.+?)"', page.text)
        assert {http.get(f"/{link}").status_code for link in links} == {200}
    assert {"docs", "openapi.json"} <= set(links)


@pytest.mark.anyio
@pytest.mark.parametrize(("docs", "status"), [(True, 200), (False, 404)])
async def test_one_setting_turns_all_off(prepared: Service, *, docs: bool, status: int) -> None:
    app = create_app(prepared.settings.model_copy(update={"docs": docs}))
    async with serving(app) as client:
        for path in ("/", "/docs", "/docs/assets/swagger-ui.css", "/openapi.json"):
            assert (await client.get(path)).status_code == status


@pytest.mark.anyio
async def test_production_says_in_json_where_to_go(prepared: Service) -> None:
    settings = prepared.settings.model_copy(update={"app_env": "production"})
    async with serving(create_app(settings)) as client:
        first: dict[str, Any] = (await client.get("/")).json()
        assert first["name"] == settings.service_name
        assert (await client.get(first["documentation"])).status_code == 200
