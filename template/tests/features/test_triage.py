"""The example feature, yours to change with it."""

from pathlib import Path

import pytest
from openai import OpenAI

from app.features.triage.task import Triage
from engine.callers import keys
from tests.batches import ended, lines_of, submit
from tests.lines import jsonl, line
from tests.service import Service, service


def test_a_ticket_is_sorted(live: Service, key: str) -> None:
    with live.http(key) as http:
        answer = http.post("/v1/triage", json={"text": "I was charged twice this month."})
    assert answer.status_code == 200
    Triage.model_validate_json(answer.content)


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "x" * 4001}, {"text": 1}])
def test_a_bad_ticket_is_refused(live: Service, key: str, body: dict[str, object]) -> None:
    with live.http(key) as http:
        answer = http.post("/v1/triage", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "text"


def test_tickets_are_sorted_in_a_batch(client: OpenAI) -> None:
    tickets = jsonl([line("t", {"text": "I was charged twice."}, "/v1/triage")])
    batch = ended(client, submit(client, tickets, "/v1/triage"))
    (answer,) = lines_of(client, batch.output_file_id)
    Triage.model_validate(answer["response"]["body"])


def test_triage_can_be_kept_for_some_callers(redis_url: str, tmp_path: Path) -> None:
    with service(tmp_path, redis_url, feature_flags=[]) as running:
        running.start("api")
        flagged = running.in_database(keys.create_key, "pilot", flags=["triage"])
        ticket = {"text": "I was charged twice."}
        with running.http(running.new_key()) as others, running.http(flagged) as pilot:
            refused = others.post("/v1/triage", json=ticket)
            assert refused.status_code == 403
            assert refused.json()["error"]["code"] == "permission_denied"
            assert pilot.post("/v1/triage", json=ticket).status_code == 200
