"""`app responses`, on both databases: operators see the stored responses of every caller."""

import pytest
from sqlalchemy.orm import Session

from engine.errors import InvalidRequest, NotFound
from engine.sql.tables import CallerRow
from tests.cli.command import in_database, run, told, told_json
from tests.proof.machines import past

NARROWER: dict[tuple[str, ...], list[int]] = {
    ("--status", "failed"): [1],
    ("--model", "other"): [2],
    ("--caller", "ada"): [0, 1],
    ("--limit", "2"): [0, 1],
    ("--status", "completed", "--caller", "bob"): [2],
}
BODY = b"""{"output": [{"text": "secret"}], "usage": {"total_tokens": 7},
 "error": {"code": "server_error", "message": "It broke."}}"""


@pytest.fixture(autouse=True)
def _database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    in_database(past.add_caller)


@pytest.fixture
def newest_first() -> list[str]:
    """The ids of three responses of two callers."""

    def add_other(session: Session) -> None:
        session.add(CallerRow(id="caller_b", name="bob", flags=[], created_at=0.0))

    in_database(add_other)
    return [
        in_database(past.add_response, 1, groups=1),
        in_database(past.add_response, 2, "failed", body=BODY),
        in_database(past.add_response, 3, caller_id="caller_b", model="other"),
    ]


def test_the_list_has_the_responses_of_all_callers_newest_first(newest_first: list[str]) -> None:
    header, *rows = told("responses", "list")
    assert header == "ID MODEL CALLER STATUS BACKGROUND CREATED"
    assert [row.split()[0] for row in rows] == newest_first
    assert [row.split()[2] for row in rows] == ["ada", "ada", "bob"]
    assert [row.split()[4] for row in rows] == ["yes", "-", "-"]


def test_the_list_can_be_narrowed(newest_first: list[str]) -> None:
    for options, places in NARROWER.items():
        listed = [each["id"] for each in told_json("responses", "list", *options)]
        assert listed == [newest_first[place] for place in places], options


def test_a_response_is_shown_without_its_texts(newest_first: list[str]) -> None:
    shown = "\n".join(told("responses", "show", newest_first[1]))
    for part in ("caller ada", "status failed", '"total_tokens": 7', "It broke.", "msg_1 True 2"):
        assert part in shown
    assert "secret" not in shown
    assert "secret" not in str(told_json("responses", "show", newest_first[1]))


def test_the_steps_of_an_agent_are_shown_without_their_texts(newest_first: list[str]) -> None:
    usage = b'{"total_tokens": 12}'
    answer = {"kind": "model", "name": "chat-model", "usage": usage}
    in_database(past.add_step, newest_first[0], 0, **answer)
    in_database(past.add_step, newest_first[0], 1, status="planned", attempt=0, finished_at=None)
    shown = told("responses", "show", newest_first[0], "--steps")
    assert shown[-3:] == [
        "POSITION KIND NAME STATUS ATTEMPT SECONDS TOKENS",
        "0 model chat-model done 1 2.0 12",
        "1 tool refund planned 0 - -",
    ]
    assert "secret" not in "".join(shown)
    assert "POSITION" not in "".join(told("responses", "show", newest_first[0]))


def test_an_unknown_id_says_where_to_look() -> None:
    with pytest.raises(NotFound, match="`app responses list` shows them"):
        run("responses", "show", "resp_of_nobody")


def test_a_response_that_ended_is_not_cancelled(newest_first: list[str]) -> None:
    assert told("responses", "cancel", newest_first[0]) == [f"{newest_first[0]} is completed."]


def test_only_a_background_response_is_cancelled(newest_first: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="Only background responses can be cancelled"):
        run("responses", "cancel", newest_first[1])
