"""How the provider that the settings name is found."""

import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from app import features
from engine.errors import Misconfigured
from engine.models.upstreams import open_model
from engine.process.tokenizer import Tokenizer
from tests.proof.models.asking import settings
from tests.service import PROJECT

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "name", ["gpt", "wire", "../local", ".local", "app.features.none", "no.such", "app.features"]
)
async def test_an_unknown_provider_is_told_the_known_ones(
    http: ClientSession, tokenizer: Tokenizer, name: str
) -> None:
    with pytest.raises(Misconfigured, match="one of local, openai, simulated"):
        async with open_model(settings(model_provider=name), http, tokenizer):
            pass


async def test_a_missing_package_is_named(
    http: ClientSession, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text("import a_package_of_tomorrow\n")
    monkeypatch.setattr(features, "__path__", [*features.__path__, str(tmp_path)])
    with pytest.raises(Misconfigured, match="needs a_package_of_tomorrow"):
        async with open_model(settings(model_provider="app.features.needy"), http, tokenizer):
            pass


def test_the_local_engine_is_loaded_for_its_own_provider_only() -> None:
    engines = {"xllamacpp", "wordllama"}
    code = (
        "import sys, app.main, app.worker, engine.models.openai, "
        f"engine.models.simulated; sys.exit(str({engines!r} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert result.stderr == "set()\n"
