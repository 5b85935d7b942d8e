"""The table says where FastAPI really runs things, and until when it really holds them."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import anyio
import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse

from doctor.examination import examine
from doctor.report import as_json, as_list, as_text
from doctor.table import Row
from engine.slots.own_threads import own_threads

ran: dict[str, bool] = {}
"""What ran on the main thread, where the loop is."""


def note(name: str) -> None:
    ran[name] = threading.current_thread() is threading.main_thread()


async def on_loop() -> None:
    note("on_loop")


def in_thread() -> None:
    note("in_thread")


class Made:
    def __init__(self) -> None:
        note("Made")


class Called:
    async def __call__(self) -> None:
        note("Called")


def plain_until_the_end() -> Iterator[None]:
    note("plain_until_the_end")
    yield


async def until_the_end() -> AsyncIterator[None]:
    note("until_the_end")
    yield


async def until_the_beginning() -> AsyncIterator[None]:
    note("until_the_beginning")
    yield


NEEDS = [
    Depends(on_loop),
    Depends(in_thread),
    Depends(Made),
    Depends(Called()),
    Depends(plain_until_the_end),
    Depends(until_the_end),
    Depends(until_the_beginning, scope="function"),
    Depends(on_loop),
]

router = APIRouter(prefix="/inner", dependencies=NEEDS)


@router.get("/loop")
async def endpoint() -> str:
    note("endpoint")
    return ""


@router.get("/thread")
def endpoint_in_thread(
    _limited: Annotated[None, Depends(on_loop, use_cache=False, max_concurrency=3)],
) -> str:
    note("endpoint_in_thread")
    return ""


@router.get("/own")
@own_threads(4)
def endpoint_in_its_own() -> str:
    note("endpoint_in_its_own")
    return ""


@router.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(words())


async def words() -> AsyncIterator[str]:
    yield "word"


@router.post("/later")
async def later(tasks: BackgroundTasks) -> str:
    tasks.add_task(on_loop)
    return ""


app = FastAPI()
app.include_router(router, prefix="/outer")
inner = FastAPI()
inner.get("/inside")(on_loop)
app.mount("/mounted", inner)


def rows() -> list[Row]:
    return examine(app, Path(__file__)).rows


async def get(path: str) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        (await client.get(path)).raise_for_status()


def of(label: str) -> tuple[Row, dict[str, Row]]:
    """Return the row of a route, and those of its needs by their last name."""
    found = rows()
    start = next(number for number, row in enumerate(found) if row.name == label)
    needs = {}
    for row in found[start + 1 :]:
        if row.depth == 0:
            break
        needs[row.name.rpartition(".")[2]] = row
    return found[start], needs


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("loop", "endpoint"),
        ("thread", "endpoint_in_thread"),
        ("own", "endpoint_in_its_own"),
    ],
)
async def test_code_runs_where_the_table_says(path: str, name: str) -> None:
    ran.clear()
    await get(f"/outer/inner/{path}")
    route, needs = of(f"GET /outer/inner/{path}")
    said = {need: row.runs == "loop" for need, row in needs.items()} | {name: route.runs == "loop"}
    assert said == ran


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["loop", "thread", "own", "stream"])
async def test_requests_hop_as_often_as_the_table_says(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hops = 0
    run_sync = anyio.to_thread.run_sync

    async def counting(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 -- as it is given
        nonlocal hops
        hops += 1
        return await run_sync(*arguments, **options)

    monkeypatch.setattr(anyio.to_thread, "run_sync", counting)
    await get(f"/outer/inner/{path}")
    assert of(f"GET /outer/inner/{path}")[0].hops == hops


def test_the_hold_of_a_dependency_depends_on_its_scope_and_on_the_stream() -> None:
    _, needs = of("GET /outer/inner/stream")
    assert needs["until_the_end"].holds == "held until the last byte"
    assert needs["until_the_beginning"].holds == "held until the endpoint returns"
    assert needs["on_loop"].holds == ""
    assert of("GET /outer/inner/loop")[1]["until_the_end"].holds == "held until the answer"


def test_limits_are_shown() -> None:
    route, needs = of("GET /outer/inner/thread")
    assert route.limits == needs["in_thread"].limits == "1 of the framework's threads"
    assert of("GET /outer/inner/own")[0].limits == "4 threads of its own"


def test_an_app_mounted_in_the_app_is_part_of_it() -> None:
    assert of("GET /mounted/inside")[0].runs == "loop"


def test_work_after_the_answer_is_zone_two() -> None:
    assert of("POST /outer/inner/later")[0].zone == "1+2"
    assert of("GET /outer/inner/loop")[0].zone == "1"


def test_the_same_is_told_in_each_form() -> None:
    examination = examine(app, Path(__file__))
    for form in (as_text, as_json, as_list):
        assert "GET /outer/inner/stream" in form(examination)
