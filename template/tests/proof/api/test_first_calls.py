"""First calls import and build nothing: either keeps the event loop from every request."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from app.main import create_app
from tests.api.serving import serving
from tests.proof.thorough import one_of_each
from tests.service import PROJECT, Service

SMALL = {"_sha2"}
"""Of the interpreter itself, for each seed of `random` that is text; 0.1 ms."""


@pytest.mark.parametrize("provider", one_of_each(["local", "simulated"], lambda _: "provider"))
def test_no_first_call_imports_a_module(tmp_path: Path, provider: str) -> None:
    program = [sys.executable, "-m", "tests.proof.api.first_calls", provider]
    path = {"PYTHONPATH": str(PROJECT), "SETTINGS_FILES": "none"}
    done = subprocess.run(
        program, cwd=tmp_path, env=path, capture_output=True, text=True, check=False
    )
    imported, statuses = done.stdout.split("\n")[-3:-1]
    assert set(statuses.split()) == {"200", "400"}, done.stderr
    assert set(imported.split()) - SMALL == set()


def validators() -> int:
    return sum(type(each) is TypeAdapter for each in gc.get_objects())


@pytest.mark.anyio
@pytest.mark.parametrize("docs", [True, False])
async def test_no_first_call_makes_a_validator(prepared: Service, *, docs: bool) -> None:
    async with serving(create_app(prepared.settings.model_copy(update={"docs": docs}))) as client:
        before = validators()
        await client.post("/v1/triage", json={"text": "Hi"})
        assert validators() == before
