"""A command says in a sentence that it cannot reach the database."""

import os
from pathlib import Path

import pytest

from tests.forked import Forked
from tests.service import LIMIT, free_port

UNREACHABLE = ["sslmode=disable", "sslmode=verify-full", "sslrootcert=system"]


@pytest.mark.parametrize("command", ["migrate", "keys list", "dev"])
@pytest.mark.parametrize("parameters", UNREACHABLE)
def test_a_database_that_cannot_be_reached_is_told_in_a_sentence(
    command: str, parameters: str, tmp_path: Path
) -> None:
    url = f"postgresql://me:hush@127.0.0.1:{free_port()}/db?{parameters}"
    environment = os.environ | {"DATABASE_URL": url, "REDIS_URL": "none", "HOME": "/nowhere"}
    output, errors = tmp_path / "output", tmp_path / "errors"
    done = Forked(command.split(), environment, output, errors)
    assert done.wait(LIMIT) == 1
    said = errors.read_text()
    assert said.startswith("The database cannot be used: ")
    assert said.count("\n") == 1
    assert "hush" not in said
