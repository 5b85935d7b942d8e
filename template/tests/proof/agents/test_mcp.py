"""Tools of MCP servers: a real server, and servers that are away, slow, odd or elsewhere."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from app import features
from app.resources.lifespan import Resources, all_agents, open_resources
from app.settings import Settings
from engine.agents.agent import Agent
from engine.agents.mcp import McpServer, McpServerError, remote_tools
from engine.agents.tools import IN_DOUBT, MOST_BYTES, Tool, ToolCall, ToolError, told_output, tool
from engine.errors import Misconfigured, OpenError
from engine.resources import model_for
from engine.watch.telemetry import traceparent
from tests import upstream
from tests.proof.agents.mcp_server import PICTURE, Shop, running_shop
from tests.service import free_port

pytestmark = pytest.mark.anyio

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def resources(tmp_path: Path) -> AsyncIterator[Resources]:
    settings = Settings(
        _env_file=None, data_dir=tmp_path, redis_url="none", model_provider="simulated"
    )
    async with open_resources(settings) as opened:
        yield opened


@pytest.fixture(params=["modern", "legacy", "json"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A server of today, one of before 2026, and one whose answers are no streams."""
    kind = request.param
    with running_shop(legacy=kind == "legacy", json_response=kind == "json") as running:
        yield running


@pytest.fixture
def modern_shop() -> Iterator[Shop]:
    with running_shop() as running:
        yield running


def server(url: str, **more: Any) -> McpServer:  # noqa: ANN401 -- any field of a server
    return McpServer(label="shop", url=url, **{"private": True, **more})


async def tools_of(
    resources: Resources,
    url: str,
    **more: Any,  # noqa: ANN401
) -> dict[str, Tool]:
    """Return the tools of a server by their names there."""
    found = await remote_tools([server(url, **more)], resources)
    return {name.removeprefix("shop__"): each for name, each in found.items()}


async def call(
    resources: Resources, called: Tool, arguments: dict[str, Any] | str = "{}", key: str = "key_1"
) -> str:
    given = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return str(await called.run(ToolCall(key, 1, model_for(resources, "caller_1")), given))


class TestCalls:
    async def test_a_server_gets_the_arguments_the_key_and_the_trace(
        self, resources: Resources, shop: Shop
    ) -> None:
        tools = await tools_of(resources, shop.url)
        traceparent.set(TRACE)
        assert await call(resources, tools["pay"], {"cents": 3}) == "paid 3"
        ((name, meta),) = shop.calls
        assert name == "pay"
        assert {"idempotencyKey": "key_1", "traceparent": TRACE}.items() <= meta.items()

    async def test_a_call_lists_no_tools_and_asks_for_no_version(
        self, resources: Resources, modern_shop: Shop
    ) -> None:
        tools = await tools_of(resources, modern_shop.url)
        modern_shop.messages.clear()
        await call(resources, tools["find"], {"order": 1})
        assert modern_shop.methods() == ["tools/call"]

    async def test_a_session_ends_with_its_call(self, resources: Resources) -> None:
        with running_shop(legacy=True) as shop:
            tools = await tools_of(resources, shop.url)
            await call(resources, tools["find"], {"order": 1})
            assert shop.ended == 2  # that of the list, too

    async def test_a_call_has_its_result_though_its_session_does_not_end(
        self, resources: Resources
    ) -> None:
        with running_shop(legacy=True) as shop:
            tools = await tools_of(resources, shop.url, seconds=30.0)
            shop.held = True
            assert await call(resources, tools["talk"], {"size": 2}) == "xx"

    async def test_structured_content_is_read_once(self, resources: Resources, shop: Shop) -> None:
        tools = await tools_of(resources, shop.url)
        told = await call(resources, tools["find"], {"order": 1})
        assert json.loads(told) == {"order": 1, "open": True}

    async def test_a_picture_is_left_out_with_a_note(
        self, resources: Resources, modern_shop: Shop
    ) -> None:
        tools = await tools_of(resources, modern_shop.url)
        told = await call(resources, tools["look"])
        assert told == f"A picture:\n[image/png, {len(PICTURE)} bytes, left out]"

    async def test_a_failure_of_a_tool_is_told_in_its_words(
        self, resources: Resources, shop: Shop
    ) -> None:
        tools = await tools_of(resources, shop.url)
        with pytest.raises(ToolError, match=r"the shop is closed$"):
            await call(resources, tools["refuse"])

    @pytest.mark.parametrize("arguments", ["[1]", "{", '"x"'])
    async def test_arguments_that_are_no_object_reach_no_server(
        self, resources: Resources, modern_shop: Shop, arguments: str
    ) -> None:
        tools = await tools_of(resources, modern_shop.url)
        with pytest.raises(ToolError, match="no JSON object"):
            await call(resources, tools["find"], arguments)
        assert not modern_shop.calls

    async def test_arguments_that_do_not_fit_are_told_by_the_server(
        self, resources: Resources, shop: Shop
    ) -> None:
        tools = await tools_of(resources, shop.url)
        with pytest.raises(ToolError, match="order"):
            await call(resources, tools["find"], {"order": "one"})

    async def test_a_long_result_is_cut_and_a_huge_one_not_read(
        self, resources: Resources, shop: Shop
    ) -> None:
        tools = await tools_of(resources, shop.url)
        told = told_output(await call(resources, tools["talk"], {"size": 2 * MOST_BYTES}))
        assert "[Cut: of 131072 bytes" in told
        with pytest.raises(McpServerError, match="more than 4194304 bytes"):
            await call(resources, tools["talk"], {"size": 5_000_000})

    async def test_a_slow_server_does_not_hold_a_call(
        self, resources: Resources, shop: Shop
    ) -> None:
        tools = await tools_of(resources, shop.url, seconds=1.0)
        shop.held = True
        with pytest.raises(McpServerError, match="does not answer within 1 s") as raised:
            await call(resources, tools["mail"])
        assert IN_DOUBT in raised.value.message
        with pytest.raises(McpServerError) as raised:
            await call(resources, tools["pay"], {"cents": 1})
        assert IN_DOUBT not in raised.value.message  # it can be called again

    async def test_a_cancelled_call_leaves_nothing_behind(
        self, resources: Resources, shop: Shop
    ) -> None:
        tools = await tools_of(resources, shop.url)
        shop.held, before = True, asyncio.all_tasks()
        calling = asyncio.create_task(call(resources, tools["mail"]))
        while not shop.calls:  # noqa: ASYNC110 -- a call arrives in another thread
            await asyncio.sleep(0.01)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert asyncio.all_tasks() <= before


class TestListing:
    async def test_a_tool_has_its_schema_and_a_name_that_models_take(
        self, resources: Resources, shop: Shop
    ) -> None:
        found = await remote_tools([server(shop.url)], resources)
        assert found["shop__find"].parameters["required"] == ["order"]
        assert found["shop__find"].description == "Find an order."
        long = [name for name in found if name.startswith("shop__a_tool_of_70_signs")]
        assert [len(name) for name in long] == [64]
        assert await call(resources, found[long[0]], {"size": 2}) == "xx"

    async def test_a_call_is_repeated_where_the_server_allows_it(
        self, resources: Resources, shop: Shop
    ) -> None:
        tools = await tools_of(resources, shop.url)
        assert [name for name, each in tools.items() if each.repeat] == ["find", "pay"]

    async def test_the_team_is_believed_before_a_server_that_may_lie(
        self, resources: Resources, modern_shop: Shop
    ) -> None:
        tools = await tools_of(resources, modern_shop.url, repeat=["mail"])
        assert [name for name, each in tools.items() if each.repeat] == ["mail"]

    @pytest.mark.parametrize(
        ("approval", "waiting"), [(True, ["find", "mail"]), (False, []), (["mail"], ["mail"])]
    )
    async def test_only_allowed_tools_are_there_some_with_approval(
        self,
        resources: Resources,
        modern_shop: Shop,
        approval: bool | list[str],
        waiting: list[str],
    ) -> None:
        allowed = ["find", "mail", "nothing"]
        tools = await tools_of(resources, modern_shop.url, allowed=allowed, approval=approval)
        assert list(tools) == ["find", "mail"]
        assert [name for name, each in tools.items() if each.approval] == waiting

    async def test_a_list_is_kept_but_never_for_another_token(
        self, resources: Resources, modern_shop: Shop
    ) -> None:
        def token(name: str) -> Callable[[Settings], dict[str, str]]:
            return lambda settings: {"authorization": f"Bearer {name}{settings.service_slug[:0]}"}

        modern_shop.token = "one"
        for _ in range(2):
            assert await tools_of(resources, modern_shop.url, headers=token("one"))
        assert modern_shop.methods().count("tools/list") == 1
        with pytest.raises(McpServerError, match="shop answers with HTTP status 401") as raised:
            await tools_of(resources, modern_shop.url, headers=token("other"))
        assert raised.value.retry_after is None

    async def test_two_tools_of_one_name_are_refused(
        self, resources: Resources, modern_shop: Shop
    ) -> None:
        twice = [server(modern_shop.url)] * 2
        with pytest.raises(McpServerError, match="two tools"):
            await remote_tools(twice, resources)

    def test_an_agent_with_two_servers_of_one_label_is_refused(self) -> None:
        servers = [server("http://one.example/"), server("http://two.example/")]
        with pytest.raises(Misconfigured, match="two MCP servers"):
            Agent("shopper", instructions="", mcp=servers)

    @pytest.mark.parametrize("label", ["a__b", "a_", "_a", "", "a b", "a" * 33])
    def test_a_label_that_would_make_names_ambiguous_is_refused(self, label: str) -> None:
        with pytest.raises(Misconfigured, match="label"):
            McpServer(label=label, url="http://one.example/")

    def test_an_own_tool_cannot_have_the_name_of_a_remote_one(self) -> None:
        async def shop__find() -> None: ...

        with pytest.raises(TypeError, match="in its name"):
            tool(shop__find)

    def test_a_start_without_the_package_says_how_to_install_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "mcp", None)
        agent = Agent("shopper", instructions="", mcp=[server("http://one.example/")])
        monkeypatch.setattr(features, "AGENTS", [agent])
        with pytest.raises(OpenError, match="uv sync --group mcp"):
            all_agents()


class TestAddresses:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
    async def test_an_address_that_is_not_public_is_refused(
        self, resources: Resources, modern_shop: Shop, host: str
    ) -> None:
        url = modern_shop.url.replace("127.0.0.1", host)
        with pytest.raises(McpServerError, match="shop has no public address") as raised:
            await tools_of(resources, url, private=False)
        assert raised.value.retry_after is None
        assert not modern_shop.messages

    async def test_leave_for_one_server_is_none_for_the_next(
        self, resources: Resources, modern_shop: Shop
    ) -> None:
        await tools_of(resources, modern_shop.url, private=True)
        modern_shop.messages.clear()
        with pytest.raises(McpServerError, match="no public address"):
            await tools_of(resources, modern_shop.url, private=False)
        assert not modern_shop.messages

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_to_elsewhere_is_not_followed(
        self, resources: Resources, modern_shop: Shop, status: int
    ) -> None:
        async def elsewhere(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"location": modern_shop.url})

        async with upstream.serving(elsewhere) as redirecting:
            with pytest.raises(McpServerError, match=r"Redirect to .* not followed"):
                await tools_of(resources, f"{redirecting.url}/mcp")
        assert not modern_shop.messages


class TestFaults:
    async def test_a_server_that_is_away_is_asked_again_later(self, resources: Resources) -> None:
        with pytest.raises(McpServerError, match="shop cannot be reached") as raised:
            await tools_of(resources, f"http://127.0.0.1:{free_port()}/mcp")
        assert raised.value.retry_after

    async def test_a_server_that_went_away_has_not_done_the_call(
        self, resources: Resources
    ) -> None:
        with running_shop() as shop:
            tools = await tools_of(resources, shop.url)
        with pytest.raises(McpServerError, match="cannot be reached") as raised:
            await call(resources, tools["mail"])
        assert IN_DOUBT not in raised.value.message

    @pytest.mark.parametrize(("status", "later"), [(503, True), (429, True), (403, False)])
    async def test_a_status_decides_whether_to_ask_again(
        self, resources: Resources, status: int, *, later: bool
    ) -> None:
        async with upstream.serving(upstream.answering(status, {})) as odd:
            with pytest.raises(McpServerError, match=f"HTTP status {status}") as raised:
                await tools_of(resources, f"{odd.url}/mcp")
        assert bool(raised.value.retry_after) is later

    async def test_a_packed_answer_is_not_unpacked(self, resources: Resources) -> None:
        packed = {"content-encoding": "gzip"}
        async with upstream.serving(upstream.answering(200, {}, packed)) as odd:
            with pytest.raises(McpServerError, match="packs its answers"):
                await tools_of(resources, f"{odd.url}/mcp")

    @pytest.mark.parametrize("content", ["<html>", {"jsonrpc": "2.0", "id": 1, "result": []}, []])
    async def test_an_answer_of_another_protocol_is_told(
        self, resources: Resources, content: object
    ) -> None:
        async with upstream.serving(upstream.answering(200, content)) as odd:
            with pytest.raises(McpServerError, match="The MCP server shop"):
                await tools_of(resources, f"{odd.url}/mcp")

    async def test_a_server_that_breaks_off_leaves_its_call_in_doubt(
        self, resources: Resources, modern_shop: Shop
    ) -> None:
        tools = await tools_of(resources, modern_shop.url)
        modern_shop.broken = True
        with pytest.raises(McpServerError, match="breaks off its answer") as raised:
            await call(resources, tools["mail"])
        assert IN_DOUBT in raised.value.message
