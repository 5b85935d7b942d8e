"""Calls that need a human's approval: one answer each, by the caller of the run, to its key."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.forked import MORE_MODULES
from tests.proof.agents.errands import LATER, Json, ask, calls, decide, effects, said
from tests.service import Service

REFUND = [("refund", {"order": 1, "cents": 300})]


@pytest.fixture
def asked(place: Service, http: httpx.Client) -> Json:
    """A response that asks for an approval."""
    response = ask(http, REFUND, "?")
    assert response["status"] == "completed"
    assert not effects(place)
    return response


def test_an_approved_call_runs_with_the_key_it_was_planned_with(
    place: Service, http: httpx.Client, asked: Json
) -> None:
    answer = decide(http, asked, approve=True).json()
    (request,) = calls(asked, "mcp_approval_request")
    (call,) = calls(answer)
    assert call["approval_request_id"] == request["id"]
    assert call["output"] == '{"order":1,"cents":300}'
    assert '{\\"order\\":1,\\"cents\\":300}' in said(answer)
    assert {(each.name, each.key) for each in effects(place)} == {("refund", request["id"])}


def test_calls_without_approval_run_before_it(place: Service, http: httpx.Client) -> None:
    response = ask(http, [*REFUND, ("look_up", {"order": 2})], "Done.")
    assert [each["output"] for each in calls(response)] == ["order 2"]
    assert {each.name for each in effects(place)} == {"look_up"}


def test_a_second_answer_is_refused(place: Service, http: httpx.Client, asked: Json) -> None:
    assert decide(http, asked, approve=True).status_code == 200
    for approve in (True, False):
        again = decide(http, asked, approve=approve)
        assert (again.status_code, again.json()["error"]["code"]) == (
            400,
            "approval_request_answered",
        )
    assert len({each.key for each in effects(place)}) == 1


def test_of_answers_at_once_one_counts(place: Service, http: httpx.Client, asked: Json) -> None:
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(decide, http, asked, approve=True) for _ in range(4)]
    codes = sorted(each.result().status_code for each in sent)
    assert codes == [200, 400, 400, 400]
    assert len({each.key for each in effects(place)}) == 1


def test_two_answers_in_one_request_are_refused(
    place: Service, http: httpx.Client, asked: Json
) -> None:
    (request,) = calls(asked, "mcp_approval_request")
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": request["id"],
        "approve": True,
    }
    body = {"model": "refunds", "previous_response_id": asked["id"], "input": [answer, answer]}
    assert http.post("/v1/responses", json=body).status_code == 400
    assert not effects(place)
    assert decide(http, asked, approve=True).status_code == 200


def test_a_denial_goes_to_the_model_with_its_reason(
    place: Service, http: httpx.Client, asked: Json
) -> None:
    answer = decide(http, asked, approve=False, reason="Too much.").json()
    (call,) = calls(answer)
    assert call["status"] == "failed"
    assert "denied" in call["output"]
    assert "Too much." in said(answer)
    assert not effects(place)


def test_another_caller_is_told_the_same_as_of_an_unknown_request(
    place: Service, http: httpx.Client, asked: Json
) -> None:
    with place.http(place.new_key("stranger")) as stranger:
        foreign = decide(stranger, asked, approve=True)
        unknown = decide(stranger, {**asked, "id": "resp_unknown"}, approve=True)
        assert foreign.status_code == unknown.status_code == 400
        assert foreign.json()["error"]["code"] == unknown.json()["error"]["code"]
        own = ask(stranger, "Hello.")
        told = [
            decide(stranger, {**own, "output": output}, approve=True).json()["error"]
            for output in (asked["output"], [{"type": "mcp_approval_request", "id": "mcp_0"}])
        ]
    (request,) = calls(asked, "mcp_approval_request")
    assert told[0] == {**told[1], "message": told[1]["message"].replace("mcp_0", request["id"])}
    assert told[0]["code"] == "approval_request_not_found"
    assert not effects(place)
    assert decide(http, asked, approve=True).status_code == 200


def test_the_approval_of_a_tool_that_a_deploy_took_away_says_so(
    place: Service, http: httpx.Client, asked: Json
) -> None:
    place.workers()[0].stop()
    place.start("worker", **{MORE_MODULES: str(LATER)})
    answer = decide(http, asked, approve=True).json()
    (call,) = calls(answer)
    assert (call["status"], call["output"]) == ("failed", "There is no tool refund.")
    assert "There is no tool refund." in said(answer)
    assert not effects(place)


def test_a_run_that_is_not_stored_has_its_calls_denied(place: Service, http: httpx.Client) -> None:
    response = ask(http, REFUND, "?", store=False)
    assert "cannot be given here" in said(response)
    assert not effects(place)
