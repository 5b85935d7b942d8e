"""Runs of agents as their caller starts them, and all that came of them."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.sql.tables import AgentStepRow, JobRow, ResponseRow
from tests.proof.agents.scripted import Turn, script
from tests.service import Service, eventually, service

MODULES = Path(__file__).parent / "modules"
LATER = Path(__file__).parent / "later"
"""The same agents before a deploy and after it."""

SCRIPTED = "tests.proof.agents.scripted"
FINAL = {"completed", "incomplete", "failed", "cancelled"}
Json = dict[str, Any]


class Effect(NamedTuple):
    """One run of a tool, or a question to the model, which has the name `model`."""

    name: str
    key: str
    attempt: int
    process: int


def agents(
    folder: Path,
    redis_url: str,
    database_url: str | None = None,
    *,
    modules: Path = MODULES,
    **settings: object,
) -> AbstractContextManager[Service]:
    """Return a service with agents, whose dead workers are missed soon."""
    soon = {"lease_seconds": 2.0, "sweep_seconds": 0.2, "shutdown_grace": 0.3}
    return service(
        folder,
        redis_url,
        database_url,
        modules=modules,
        model_provider=SCRIPTED,
        **{**soon, **settings},
    )


def ask(http: httpx.Client, *turns: Turn, **more: object) -> Json:
    """Return the response to a script; the agent is `refunds` unless `model` is another."""
    body = {"model": "refunds", "input": script(*turns), **more}
    answer = http.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def begin(http: httpx.Client, *turns: Turn, **more: object) -> str:
    """Start a run in the background and return its id."""
    return str(ask(http, *turns, background=True, **more)["id"])


def ended(http: httpx.Client, response_id: str) -> Json:
    """Return a response of the background once it has ended."""

    def state() -> Json:
        found: Json = http.get(f"/v1/responses/{response_id}").json()
        return found

    eventually(lambda: state()["status"] in FINAL)
    return state()


def decide(http: httpx.Client, asked: Json, *, approve: bool, **more: object) -> httpx.Response:
    """Answer the first request for an approval that a response has."""
    (request, *_) = calls(asked, "mcp_approval_request")
    answer = {"type": "mcp_approval_response", "approval_request_id": request["id"]}
    given = [{**answer, "approve": approve, **more}]
    body = {"model": "refunds", "previous_response_id": asked["id"], "input": given}
    return http.post("/v1/responses", json=body)


def calls(response: Json, kind: str = "mcp_call") -> list[Json]:
    """Return the calls among the items of a response."""
    return [item for item in response["output"] if item["type"] == kind]


def said(response: Json) -> str:
    """Return the last text of a response."""
    texts = [item for item in response["output"] if item["type"] == "message"]
    return str(texts[-1]["content"][0]["text"])


def effects(place: Service, *names: str) -> list[Effect]:
    """Return the effects so far, all of tools or those of these names."""
    found = [Effect(name, key, int(at), int(by)) for name, key, at, by in ledger(place.folder)]
    return [each for each in found if (each.name in names if names else each.name != "model")]


def ledger(folder: Path) -> list[list[str]]:
    """Return the words of each whole line of the ledger."""
    file = folder / "effects.txt"
    return [line.split() for line in file.read_text().split("\n")[:-1]] if file.exists() else []


def steps_of(session: Session, response_id: str) -> list[tuple[str, str, int]]:
    """Return name, status and attempt of each step of a run."""
    rows = select(AgentStepRow).where(AgentStepRow.response_id == response_id)
    found = session.scalars(rows.order_by(AgentStepRow.position))
    return [(row.name, row.status, row.attempt) for row in found]


def job_status(session: Session) -> str | None:
    """Return the status of the newest run's job."""
    newest = select(JobRow.status).order_by(JobRow.created_at.desc(), JobRow.id).limit(1)
    return session.scalar(newest)


def response_status(session: Session) -> str | None:
    """Return the status of the newest response."""
    return session.scalar(select(ResponseRow.status).order_by(ResponseRow.used_at.desc()).limit(1))
