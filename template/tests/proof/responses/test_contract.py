"""Every event of every kind of response, as clients need it; and broken ones, which are seen."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from typing import Any

import httpx
import pytest
from aiohttp import web

from engine.models.wire import Json
from tests.proof.responses.contract import ITEM, breaches, breaches_of_whole
from tests.service import Service, service
from tests.upstream import serving_in_thread, streaming

TEXT = (
    *("output_item.added", "content_part.added", "output_text.delta", "output_text.done"),
    *("content_part.done", "output_item.done"),
)
REFUSAL = tuple(name.replace("output_text", "refusal") for name in TEXT)
REASONING = (
    *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
    *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
)
CALL = (
    *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
    "output_item.done",
)
BEGINNING = ("created", "in_progress")

WEATHER: Json = {
    "type": "function",
    "name": "weather",
    "description": "Tell the weather.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def call(index: int, arguments: str = '{"city":"Rome"}') -> list[Json]:
    head = {"id": f"call_{index}", "function": {"name": "weather", "arguments": ""}}
    rest = {"function": {"arguments": arguments}}
    return [{"tool_calls": [{"index": index, **each}]} for each in (head, rest)]


HELLO: list[Json] = [{"content": "Hel"}, {"content": "lo"}]
THOUGHT: list[Json] = [{"reasoning_content": "Hm"}, {"reasoning_content": ", so"}]
CASES: dict[str, tuple[list[Json], str | None, tuple[str, ...]]] = {
    "text": (HELLO, "stop", (*TEXT, "completed")),
    "call": (call(0), "tool_calls", (*CALL, "completed")),
    "calls": ([*call(0), *call(1)], "tool_calls", (*CALL, *CALL, "completed")),
    "reasoning": ([*THOUGHT, *HELLO], "stop", (*REASONING, *TEXT, "completed")),
    "reasoned call": ([*THOUGHT, *call(0)], "tool_calls", (*REASONING, *CALL, "completed")),
    "refusal": ([{"refusal": "No"}, {"refusal": "."}], "stop", (*REFUSAL, "completed")),
    "cut off": (HELLO, "length", (*TEXT, "incomplete")),
    "cut off call": (call(0, '{"ci'), "length", (*CALL, "incomplete")),
    "filtered": (HELLO, "content_filter", (*TEXT, "incomplete")),
    "failure": (HELLO, None, (*TEXT, "failed")),
}
"""The deltas and the end of each answer of the server, and the events that follow the first."""


ENDING = tuple(name for name, (_, finish, _) in CASES.items() if finish)


async def scripted(request: web.Request) -> web.StreamResponse:
    """Answer with the case that the last message names. One without a reason to end breaks off."""
    asked = await request.json()
    deltas, finish, _ = CASES[asked["messages"][-1]["content"]]
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    if not asked["stream"]:
        choice = {"index": 0, "message": whole(deltas), "finish_reason": finish}
        return web.json_response({"choices": [choice], "usage": usage})
    chunks: list[Json] = [{"choices": [{"index": 0, "delta": each}]} for each in deltas]
    if finish:
        choices = [{"index": 0, "delta": {}, "finish_reason": finish}]
        chunks += [{"choices": choices}, {"choices": [], "usage": usage}]
    writes = [b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks]
    if finish:
        writes += [b"data: [DONE]\n\n"]
    return await streaming(*writes, broken=not finish)(request)


def whole(deltas: list[Json]) -> Json:
    """Return the message whose pieces these are."""
    message: Json = {"role": "assistant", "content": None}
    for delta in deltas:
        for name, piece in delta.items():
            if name != "tool_calls":
                message[name] = (message.get(name) or "") + piece
            elif "id" in piece[0]:
                message.setdefault(name, []).append(deepcopy(piece[0]))
            else:
                message[name][-1]["function"]["arguments"] += piece[0]["function"]["arguments"]
    return message


@pytest.fixture(scope="module")
def scripted_url() -> Iterator[str]:
    """The address of the server that follows the script."""
    with serving_in_thread(scripted) as url:
        yield url


@pytest.fixture(scope="module", params=["chat", "native"])
def http(
    request: pytest.FixtureRequest,
    scripted_url: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """A client of a service that asks the script for chats, and of one that asks the former."""
    with ExitStack() as stack:

        def serve(kind: str, url: str, key: str) -> Service:
            running = service(
                tmp_path_factory.mktemp(kind),
                redis_url,
                model_provider="openai",
                model_retries=0,
                openai_api_key=key,
                openai_base_url=url,
                openai_responses=kind,
            )
            started = stack.enter_context(running)
            started.start("api", "worker")
            return started

        asked = serve("chat", scripted_url, "none")
        if request.param == "native":
            asked = serve("native", f"{asked.url}/v1", asked.new_key())
        yield stack.enter_context(asked.http(asked.new_key()))


def streamed(http: httpx.Client, **body: object) -> list[Json]:
    """Return the events of a response that may call a tool."""
    return events_of(http, **{"model": "m", "tools": [WEATHER], **body})


def events_of(http: httpx.Client, **body: object) -> list[Json]:
    """Return the events of a response as they stand on the wire."""
    sent = {"stream": True, **body}
    answer = http.post("/v1/responses", json=sent)
    assert answer.status_code == 200, answer.text
    blocks = [block.split("\n") for block in answer.text.removesuffix("\n\n").split("\n\n")]
    events: list[Json] = [json.loads(data.removeprefix("data: ")) for _, data in blocks]
    assert [name for name, _ in blocks] == [f"event: {each['type']}" for each in events]
    return events


@pytest.mark.parametrize("case", CASES)
def test_each_event_of_a_stream_keeps_the_contract(http: httpx.Client, case: str) -> None:
    events = streamed(http, input=case)
    assert breaches(events, (*BEGINNING, *CASES[case][2])) == []


@pytest.mark.parametrize("case", ENDING)
def test_each_event_of_a_background_response_keeps_the_contract(
    http: httpx.Client, case: str
) -> None:
    events = streamed(http, input=case, background=True)
    assert breaches(events, ("created", "queued", "in_progress", *CASES[case][2])) == []


@pytest.mark.parametrize("case", ENDING)
def test_a_whole_response_keeps_the_contract(http: httpx.Client, case: str) -> None:
    response = http.post("/v1/responses", json={"model": "m", "input": case}).json()
    assert breaches_of_whole(response) == []
    assert response["status"] == CASES[case][2][-1]
    assert http.get(f"/v1/responses/{response['id']}").json() == response


def test_a_stream_that_failed_is_kept_as_it_was_told(http: httpx.Client) -> None:
    told = streamed(http, input="failure")[-1]["response"]
    assert told["status"] == "failed"
    assert http.get(f"/v1/responses/{told['id']}").json() == told


def test_items_of_an_input_have_the_clients_types(http: httpx.Client) -> None:
    first = http.post("/v1/responses", json={"model": "m", "input": "reasoned call"}).json()
    output = {"type": "function_call_output", "call_id": "call_0", "output": "21"}
    messages = [{"role": "assistant", "content": "Sun"}, {"role": "user", "content": "text"}]
    given = [*first["output"], output, *messages]
    second = http.post("/v1/responses", json={"model": "m", "input": given}).json()
    listed = http.get(f"/v1/responses/{second['id']}/input_items").json()["data"]
    assert len(listed) == len(given)
    for item in listed:
        ITEM.validate_json(json.dumps(item), strict=True)


def without(kind: str, *path: str) -> Callable[[list[Json]], object]:
    """Return what takes a field out of the first event of a type."""

    def twin(events: list[Json]) -> object:
        found: Any = next(each for each in events if each["type"] == f"response.{kind}")
        for name in path[:-1]:
            found = found[int(name) if name.isdigit() else name]
        return found.pop(path[-1])

    return twin


def never(kind: str) -> Callable[[list[Json]], object]:
    """Return what leaves all events of a type out, and numbers the rest without a gap."""

    def twin(events: list[Json]) -> None:
        events[:] = [each for each in events if each["type"] != f"response.{kind}"]
        for number, event in enumerate(events):
            event["sequence_number"] = number

    return twin


def with_a_gap(events: list[Json]) -> None:
    events[-1]["sequence_number"] += 1


def with_a_new_id(events: list[Json]) -> None:
    events[4]["item_id"] = "rs_other"


def with_a_lost_piece(events: list[Json]) -> None:
    events[4]["delta"] = ""


def with_a_stranger(events: list[Json]) -> None:
    events[2]["item"]["colour"] = "blue"


ITEM_DONE, PART_DONE = "output_item.done", "content_part.done"
TWINS: dict[str, Callable[[list[Json]], object]] = {
    "a gap in the numbers": with_a_gap,
    "another id of an item": with_a_new_id,
    "a lost piece": with_a_lost_piece,
    "a field without a type": with_a_stranger,
    **{
        f"no {name} of a response": without("completed", "response", name)
        for name in ("output", "created_at", "model", "usage", "incomplete_details", "object")
    },
    "no total_tokens": without("completed", "response", "usage", "total_tokens"),
    "no model at the beginning": without("created", "response", "model"),
    "no completed_at": without("completed", "response", "completed_at"),
    **{
        f"no {name} of an item": without("completed", "response", "output", "1", name)
        for name in ("id", "role", "status")
    },
    "no status of a thought": without(ITEM_DONE, "item", "status"),
    "no annotations": without(PART_DONE, "part", "annotations"),
    "no logprobs": without(PART_DONE, "part", "logprobs"),
    **{
        f"no {name} of a delta": without("output_text.delta", name)
        for name in ("sequence_number", "item_id", "output_index", "content_index")
    },
    **{
        f"no {name}": never(name)
        for name in dict.fromkeys((*BEGINNING, *REASONING, *TEXT, "completed"))
    },
}
"""What a stream may lack, most of which breaks one of the common clients or more."""


@pytest.fixture(scope="module")
def good(http: httpx.Client) -> list[Json]:
    """The events of a response with a thought and a text."""
    return streamed(http, input="reasoning")


@pytest.mark.parametrize("twin", TWINS)
def test_a_broken_stream_is_seen(good: list[Json], twin: str) -> None:
    broken = deepcopy(good)
    TWINS[twin](broken)
    assert breaches(broken, (*BEGINNING, *CASES["reasoning"][2]))


def message(role: str, content: object) -> Json:
    return {"type": "message", "role": role, "content": content}


PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
IMAGE = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PIXEL}]
QUESTION = message("user", "How is the weather in Rome?")
CHECKS: dict[str, tuple[list[Json], list[Json], bool, str]] = {
    "text": ([message("user", "Say hello.")], [], False, "message"),
    "stream": ([message("user", "Count to 5.")], [], True, "message"),
    "system": ([message("system", "Be a pirate."), QUESTION], [], False, "message"),
    "tools": ([QUESTION], [WEATHER], False, "function_call"),
    "tool stream": ([QUESTION], [WEATHER], True, "function_call"),
    "image": ([message("user", IMAGE)], [], False, "message"),
    "turns": (
        [message("user", "I am Ann."), message("assistant", "Hello Ann!"), QUESTION],
        [],
        False,
        "message",
    ),
}
"""The seven checks of Open Responses (https://www.openresponses.org), src/lib/compliance-tests.ts:
input, tools, whether it is streamed, and the type of the output."""


@pytest.mark.parametrize("check", CHECKS)
def test_open_responses_checks_pass(on_sqlite: Service, check: str) -> None:
    given, tools, stream, kind = CHECKS[check]
    body = {"model": "simulated-chat", "input": given, "tools": tools}
    with on_sqlite.http(on_sqlite.new_key()) as http:
        if stream:
            events = streamed(http, **body)
            beginning = CALL if kind == "function_call" else TEXT
            assert breaches(events, (*BEGINNING, *beginning, "completed")) == []
            response = events[-1]["response"]
        else:
            response = http.post("/v1/responses", json=body).json()
    assert breaches_of_whole(response) == []
    assert response["status"] == "completed"
    assert [item["type"] for item in response["output"]] == [kind]
