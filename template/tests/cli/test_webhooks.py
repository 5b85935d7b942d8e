"""`app webhooks`, on both databases."""

import asyncio
import re
from typing import ParamSpec, TypeVar

import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from app.cli import app
from app.settings import Settings
from engine.errors import Conflict
from engine.sql.database import Transaction, open_database
from engine.webhooks import deliveries
from engine.work import outbox
from tests.owing import add_caller, owed, register

P = ParamSpec("P")
T = TypeVar("T")

URL = "https://receiver.example/hook"


@pytest.fixture(autouse=True)
def _database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command use a database in which three messages are owed, two of them dead."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    in_database(owe)


def in_database(fn: Transaction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    async def run() -> T:
        async with open_database(Settings(_env_file=None)) as database:
            return await database.write(fn, *args, **kwargs)

    return asyncio.run(run())


def owe(session: Session) -> None:
    register(session, add_caller(session), URL)
    for number in range(3):
        outbox.enqueue_event(session, "caller_a", "batch.completed", f"batch_{number}")
    for _ in range(2):
        claimed = deliveries.claim_deliveries(session, seconds=60, most_in_flight=9)
        assert claimed
        outcome = deliveries.DeliveryOutcome("dead", 500, "The receiver answered 500.")
        deliveries.record_delivery(session, claimed, outcome)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["webhooks", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def dead_ids() -> list[str]:
    return [line.split()[0] for line in run("dead").splitlines()[1:]]


def test_the_list_shows_whose_and_where_but_no_secret() -> None:
    _, row = run("list").splitlines()
    shown = rf"^webhook_\w+ +caller_a +ends +{URL} +batch\.completed +[\d-]+ [\d:]+ +-$"
    assert re.search(shown, row)
    assert "whsec_" not in row


def test_the_dead_are_shown_with_their_reason() -> None:
    rows = run("dead").splitlines()[1:]
    assert len(rows) == 2
    assert re.search(rf"^evt_\w+ +batch\.completed +batch_1 +{URL} +1 .*answered 500\.$", rows[0])


def test_one_is_resent_by_its_id() -> None:
    first, second = dead_ids()
    assert run("resend", first) == f"{first} will be sent again.\n"
    assert dead_ids() == [second]


def test_all_are_resent() -> None:
    assert run("resend", "--all") == "Messages to be sent again: 2.\n"
    assert dead_ids() == []


def test_a_living_message_is_not_resent() -> None:
    pending = next(row.id for row in in_database(owed) if row.status == "pending")
    with pytest.raises(Conflict, match="only a dead one"):
        run("resend", pending)


@pytest.mark.parametrize("arguments", [(), ("evt_1", "--all")])
def test_resend_wants_to_know_which(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["webhooks", "resend", *arguments])
    assert result.exit_code == 2
    assert "either an ID or --all" in result.stderr
