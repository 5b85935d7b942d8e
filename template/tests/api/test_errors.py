"""An unforeseen error: a table of the database is gone while the API runs."""

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.service import Service, eventually, service


def hide_files(session: Session) -> None:
    session.execute(text("ALTER TABLE files RENAME TO moved_away"))


@pytest.fixture(scope="module")
def broken(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("broken"), redis_url) as running:
        running.start("api")
        running.in_database(hide_files)
        yield running


@pytest.fixture(scope="module")
def answer(broken: Service) -> httpx.Response:
    with broken.http(broken.new_key()) as http:
        return http.get("/v1/files", headers={"x-request-id": "unforeseen-1"})


def test_an_unexpected_error_is_a_500_in_the_envelope_that_names_the_request(
    answer: httpx.Response,
) -> None:
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "message": "The server failed. Its log explains request unforeseen-1.",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }


def test_its_header_has_the_request_id(answer: httpx.Response) -> None:
    assert answer.headers["x-request-id"] == "unforeseen-1"


@pytest.mark.parametrize("internal", ["Traceback", "no such table", "SELECT", "sqlalchemy", "/"])
def test_nothing_internal_is_told(answer: httpx.Response, internal: str) -> None:
    assert internal not in answer.text


@pytest.mark.usefixtures("answer")
@pytest.mark.parametrize("line", ["GET /v1/files failed", "GET /v1/files 500"])
def test_the_log_explains_it_under_the_request_id(broken: Service, line: str) -> None:
    eventually(lambda: f"[unforeseen-1] {line}" in broken.programs[0].text())
    assert "no such table" in broken.programs[0].text()


@pytest.mark.usefixtures("answer")
def test_other_requests_are_served_on(broken: Service) -> None:
    with broken.http(broken.new_key()) as http:
        assert http.get("/v1/batches").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/v1/files", 405, "method_not_allowed"),
    ],
)
def test_an_unknown_route_has_the_code_of_its_status(
    live: Service, method: str, path: str, status: int, code: str
) -> None:
    with live.http() as http:
        answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code


def test_a_wrong_method_is_told_the_right_ones(live: Service) -> None:
    with live.http() as http:
        assert http.put("/live").headers["allow"] == "GET"
