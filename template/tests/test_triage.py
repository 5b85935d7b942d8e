"""The example feature, yours to change with it."""

import pytest

from app.domain.triage import Triage
from tests.service import Service


def test_a_ticket_is_sorted(live: Service, key: str) -> None:
    with live.http(key) as http:
        answer = http.post("/v1/triage", json={"text": "I was charged twice this month."})
    assert answer.status_code == 200
    assert Triage.model_validate_json(answer.content)


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "x" * 4001}, {"text": 1}])
def test_what_is_no_ticket_is_refused(live: Service, key: str, body: dict[str, object]) -> None:
    with live.http(key) as http:
        answer = http.post("/v1/triage", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "text"
