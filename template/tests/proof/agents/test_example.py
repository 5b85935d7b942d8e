"""The agent of the guide pays once, and only once a human has agreed."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from openai import OpenAI
from openai.types.responses import Response
from openai.types.responses.response_output_item import McpApprovalRequest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.sql.tables import CallerRow
from tests.jobs.modules import documented_agent
from tests.proof.agents.scripted import script
from tests.service import PROJECT, Service, eventually, service
from tests.upstream import serving_in_thread

AGENT = "refunds"
SCRIPTED = script(
    [("find_order", {"order": 1}), ("refund_policy", {"reason": "broken"})],
    [("refund", {"order": 1, "cents": 500})],
    "The money is on its way.",
)
QUESTIONS = {
    "simulated": "find_order 1, look up the refund_policy, then refund it.",
    "tests.proof.agents.scripted": SCRIPTED,
}
CHECKS = [("ruff", "check"), ("ruff", "format", "--check"), ("mypy", "--no-pretty")]


@dataclass
class Shop:
    """Has one order of one customer. It pays once for each key, however often it is asked."""

    customer: str = ""
    hangs: bool = False
    """Whether the first payment is made and not answered."""
    paid: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            mine = request.query["customer"] == self.customer
            found = request.match_info["path"] == "orders/1" and mine
            order = {"order": 1, "article": "A lamp", "cents": 500}
            return web.json_response(order if found else {}, status=200 if found else 404)
        body, key = await request.json(), request.headers["Idempotency-Key"]
        self.asked.append(key)
        self.paid.setdefault(key, body["cents"])
        if self.hangs and len(self.asked) == 1:
            await asyncio.sleep(3600)
        return web.json_response({"id": f"paid_{key}", "cents": self.paid[key]})


@pytest.fixture
def shop() -> Shop:
    return Shop()


@contextmanager
def refunding(folder: Path, redis_url: str, shop: Shop, model: str) -> Iterator[Service]:
    """Yield a service whose agent of the guide asks this shop; no worker runs yet."""
    (folder / "modules").mkdir()
    with serving_in_thread(shop.answer) as url:
        module = documented_agent().replace("https://shop.example", url)
        (folder / "modules" / "refunds.py").write_text(module)
        with service(
            folder,
            redis_url,
            modules=folder / "modules",
            model_provider=model,
            lease_seconds=1.5,
            sweep_seconds=0.2,
        ) as running:
            running.start("api")
            running.new_key("customer")
            shop.customer = running.in_database(id_of, "customer")
            yield running


def id_of(session: Session, name: str) -> str:
    return session.scalars(select(CallerRow.id).where(CallerRow.name == name)).one()


def outputs(response: Response) -> dict[str, str]:
    return {item.name: item.output or "" for item in response.output if item.type == "mcp_call"}


def request_of(response: Response) -> McpApprovalRequest:
    (request,) = [item for item in response.output if item.type == "mcp_approval_request"]
    return request


def decide(
    client: OpenAI, asking: Response, approve: bool, *, background: bool = False
) -> Response:
    return client.responses.create(
        model=AGENT,
        previous_response_id=asking.id,
        input=[
            {
                "type": "mcp_approval_response",
                "approval_request_id": request_of(asking).id,
                "approve": approve,
            }
        ],
        background=background,
    )


@pytest.mark.parametrize("model", QUESTIONS)
def test_the_agent_finds_the_order_asks_a_human_and_pays_once(
    model: str, tmp_path: Path, redis_url: str, shop: Shop
) -> None:
    with refunding(tmp_path, redis_url, shop, model) as running:
        running.start("worker")
        with running.client(running.new_key("customer"), max_retries=0) as client:
            asking = client.responses.create(model=AGENT, input=QUESTIONS[model])
            assert "A lamp" in outputs(asking)["find_order"]
            assert "whole price" in outputs(asking)["refund_policy"]
            request = request_of(asking)
            assert shop.paid == {}
            paid = decide(client, asking, approve=True)
            assert list(outputs(paid)) == ["refund"]
            assert list(shop.paid) == [request.id]
            assert paid.output_text
            another = client.responses.create(model=AGENT, input=QUESTIONS[model])
            denied = decide(client, another, approve=False)
            assert "denied" in outputs(denied)["refund"]
            assert list(shop.paid) == [request.id]


def test_a_worker_that_is_killed_while_it_pays_pays_no_second_time(
    tmp_path: Path, redis_url: str, shop: Shop
) -> None:
    with refunding(tmp_path, redis_url, shop, "tests.proof.agents.scripted") as running:
        first = running.start("worker")
        with running.client(running.new_key("customer"), max_retries=0) as client:
            asking = client.responses.create(model=AGENT, input=SCRIPTED)
            shop.hangs = True
            started = decide(client, asking, approve=True, background=True)
            eventually(lambda: shop.asked)
            first.process.kill()
            running.start("worker")
            eventually(lambda: client.responses.retrieve(started.id).status == "completed")
            assert shop.asked == [request_of(asking).id] * 2
            assert list(shop.paid.values()) == [500]


def test_another_customers_order_is_not_found(tmp_path: Path, redis_url: str, shop: Shop) -> None:
    with refunding(tmp_path, redis_url, shop, "simulated") as running:
        running.start("worker")
        with running.client(running.new_key("stranger"), max_retries=0) as client:
            found = client.responses.create(model=AGENT, input="find_order 1")
            assert outputs(found) == {"find_order": "This customer has no order 1."}


@pytest.mark.parametrize("check", CHECKS, ids=" ".join)
def test_the_example_passes_the_checks_of_the_project(
    check: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "agent.py").write_text(documented_agent())
    program, *options = check
    settings = f"--config{'-file' if program == 'mypy' else ''}"
    command = [str(Path(sys.executable).with_name(program)), *options]
    checked = [*command, settings, str(PROJECT / "pyproject.toml"), str(tmp_path / "agent.py")]
    done = subprocess.run(checked, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
