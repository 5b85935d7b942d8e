"""A command says in a sentence that it cannot reach the database."""

import os
import subprocess
import sys

import pytest

from tests.service import PROJECT, free_port

UNREACHABLE = ["sslmode=disable", "sslmode=verify-full", "sslrootcert=system"]


@pytest.mark.parametrize("command", ["migrate", "keys list", "dev"])
@pytest.mark.parametrize("parameters", UNREACHABLE)
def test_a_database_that_cannot_be_reached_is_told_in_a_sentence(
    command: str, parameters: str
) -> None:
    url = f"postgresql://me:hush@127.0.0.1:{free_port()}/db?{parameters}"
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *command.split()],
        cwd=PROJECT,
        env=os.environ | {"DATABASE_URL": url, "REDIS_URL": "none", "HOME": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The database cannot be used: ")
    assert done.stderr.count("\n") == 1
    assert "hush" not in done.stderr
