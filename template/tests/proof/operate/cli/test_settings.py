"""`app settings` shows the value in force of a setting that is not set."""

import re

import pytest
from typer.testing import CliRunner

from app.cli import app

IN_FORCE = {
    "DATABASE_URL": r"sqlite:///\S+app\.db",
    "REDIS_URL": r"unix://\S+valkey\.sock",
    "READINESS_GRACE": r"0\.0",
    "STALL_SECONDS": r"0\.1",
    "MODEL_SLOTS": "7",
    "BATCH_OPENAI_BASE_URL": "http://h/v1",
    "BATCH_OPENAI_API_KEY": r"\*+",
    "METRICS_TOKEN": "",
}


@pytest.mark.parametrize(("name", "value"), IN_FORCE.items())
def test_an_unset_value_is_shown_as_the_one_in_force(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("LOCAL_PARALLEL", "7")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://h/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "hush")
    shown = CliRunner().invoke(app, ["settings"]).stdout
    assert re.search(rf"(?m)^{name} +{value} +default$", shown), shown
