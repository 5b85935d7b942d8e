"""`app batch`, on both databases: operators let batches wait, and see that they do."""

import pytest

from engine.errors import NotFound
from tests.cli.command import in_database, run, told, told_json
from tests.proof.machines import past


@pytest.fixture(autouse=True)
def _database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", "none")
    in_database(past.add_caller)


def test_a_pause_says_since_when_and_lasts_until_it_is_ended() -> None:
    (said,) = told("batch", "pause")
    assert said.startswith("All batches are paused since 2")
    assert said in told("queue", "status")
    assert told("batch", "resume") == ["No batch is paused."]
    assert "No batch is paused." in told("queue", "status")


def test_one_caller_may_be_paused_beside_all() -> None:
    (said,) = told("batch", "pause", "--caller", "ada")
    assert said.startswith("The batches of ada are paused since 2")
    told("batch", "pause")
    assert [each["caller"] for each in told_json("queue", "status")["pauses"]] == [None, "ada"]
    assert told("batch", "resume") == [said]


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_an_unknown_caller_says_where_to_look(command: str) -> None:
    with pytest.raises(NotFound, match="no caller bob: `app keys list` shows them"):
        run("batch", command, "--caller", "bob")
