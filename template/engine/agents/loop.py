"""The loop of an agent: what to do next is read from the steps, and no code is replayed.

An answer of the model and the plan of its calls are one transaction, so each call has its key
before it runs. A killed worker repeats only what was in flight; a deploy may change prompts and
tools in the midst of a run.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing

from msgspec.structs import replace

from engine.agents import steps
from engine.agents.agent import Agent
from engine.agents.context import (
    keyed_calls,
    output_items,
    outputs_of,
    repeats,
    run_items,
    total_usage,
    turn_request,
)
from engine.agents.events import AgentEvents
from engine.agents.mcp import remote_tools
from engine.agents.steps import OPEN, CallEnd, Step, answer_step
from engine.agents.tools import IN_DOUBT, Tool, ToolCall, told_failure, told_output
from engine.errors import AppError
from engine.jobs.runs import LostRunError, Run
from engine.models.wire import Json
from engine.operations.bound_model import BoundModel
from engine.process.concurrency import bounded_map
from engine.process.tasks import run_uncut
from engine.responses.background import begin_response, finish_response
from engine.responses.event_log import EventWriter
from engine.responses.native import Relay, response_chat
from engine.responses.schema import ResponseRequest, new_response
from engine.responses.transcript import Transcript
from engine.watch import metrics

log = logging.getLogger(__name__)

MOST_REPEATS = 3
"""Times in a row that a model may ask the same of a tool. The last is not run, and it is told so;
one more ends the run."""

ENDLESS = "This was asked again and again: the run ends here."
GAVE_UP = "The tool gave up: the work that it waited for was cancelled."
TOLD = "This was asked before with the same arguments, see above: go on with that answer."
UNAPPROVABLE = "Denied: this needs a human's approval, which cannot be given here."


class AgentRun:
    """One attempt at an agent's run."""

    def __init__(
        self,
        run: Run,
        model: BoundModel,
        agent: Agent,
        request: ResponseRequest,
        transcript: Transcript,
        begun: AgentEvents,
    ) -> None:
        self._run = run
        self._model = model
        self._agent = agent
        self._request = request
        self._transcript = transcript
        self._events = begun
        self._id = str(begun.response["id"])
        self._log = EventWriter(run, self._id, begun)
        self._tools: Mapping[str, Tool] = agent.toolbox
        self._turn = asyncio.Lock()  # the end of a call is told in no other call's transaction

    async def answer(self) -> None:
        """Take steps until the run ends; keep its end in one transaction."""
        await self._begin()
        found = await self._read()
        spent = time.time() - found[0].started_at if found else 0.0
        limit = asyncio.timeout(self._agent.max_seconds - spent)
        try:
            async with limit:
                remote = await remote_tools(self._agent.mcp, self._run.resources)
                self._tools = {**remote, **self._agent.toolbox}
                cut = await self._take_steps()
            await self._settle(cut)
        except LostRunError:
            raise
        except TimeoutError:
            if not limit.expired():
                raise
            await self._settle("max_messages")
        except AppError as error:
            if error.retry_after is not None:
                raise
            await self._settle(None, error)
        self._log.add(self._events.last())
        await self._log.write(finish_response, self._events.response, self._transcript)

    async def _begin(self) -> None:
        """Close what an earlier attempt left open, or tell that the run begins."""
        if self._events.begun:
            self._log.add(self._events.break_off())
            return
        self._log.add(self._events.progress())
        found = await self._read()  # those that a human has approved or denied
        for step in found:
            self._tell_of(step)
        await self._log.write(begin_response, self._events.response)
        self._count(found)

    async def _take_steps(self) -> str | None:
        """Take steps to the end. Return the reason where it is not the agent's own."""
        while True:
            found = await self._read()
            if cut := self._cut(found):
                return cut
            if open_calls := [step for step in found if step.status in OPEN]:
                await bounded_map(self._call, open_calls, limit=self._agent.parallel)
            elif any(step.status == "approval" for step in found) or _is_answered(found):
                return None
            elif self._has_spent_its_tokens(found):
                return "max_output_tokens"
            else:
                await self._ask(found)

    def _cut(self, found: Sequence[Step]) -> str | None:
        """Return the reason to end where a limit is reached, as OpenAI's types have it."""
        agent, request = self._agent, self._request
        calls = [step for step in found if step.kind == "tool"]
        answers = [step for step in found if step.kind == "model"]
        if answers and answers[-1].status != "done":
            return answers[-1].status
        if any(step.status == "endless" for step in calls):
            return "max_messages"
        if _is_answered(found):
            return None
        if len(found) >= agent.max_steps or len(calls) > (request.max_tool_calls or len(calls)):
            return "max_messages"
        return None

    def _has_spent_its_tokens(self, found: Sequence[Step]) -> bool:
        usage, most = total_usage(found), self._request.max_output_tokens
        spent = usage["total_tokens"] >= self._agent.max_tokens
        return spent or (most is not None and usage["output_tokens"] >= most)

    async def _ask(self, found: Sequence[Step]) -> None:
        """Ask the model, and keep its answer with the plan of its calls."""
        name = self._agent.model or await self._model.default()
        used = total_usage(found)["output_tokens"]
        request = turn_request(self._agent, self._request, name, self._tools.values(), used)
        items = [*self._transcript.history, *self._transcript.given, *run_items(found)]
        chat = response_chat(request, items, len(items), self._model.caller_id)
        turn = self._relay(new_response(request), items)
        self._events.begin_turn()
        began = time.time()

        async def answer() -> None:
            async with aclosing(self._model.stream(chat)) as chunks:
                async for chunk in chunks:
                    self._log.add(self._events.relay(turn.take(chunk)))
                    if chunk.usage:
                        turn.count(chunk.usage)
            self._log.add(self._events.relay(turn.end()))

        with metrics.agent_seconds.labels(self._agent.name, "model").time():
            await self._log.append_during(answer())
        await self._plan(found, turn.response, name, began)

    def _relay(self, response: Json, items: Sequence[Json]) -> Relay:
        """Return what makes events of an answer: a tool's own, or the plain one."""
        for tool in self._tools.values():
            if tool.relay:
                return tool.relay(response, outputs_of(tool.name, items))
        return Relay(response)

    async def _plan(self, found: Sequence[Step], answer: Json, model: str, began: float) -> None:
        items, calls = keyed_calls(answer["output"])
        cut = (answer["incomplete_details"] or {}).get("reason")
        step = answer_step(len(found), model, items, answer["usage"], cut or "done", began)
        planned = [*found, step]
        for call in () if cut else calls:
            step = self._planned(planned, call)
            planned.append(step)
            self._tell_of(step)
        await self._log.write(steps.keep_plan, planned[len(found) :])
        self._count(planned[len(found) :])

    def _planned(self, before: Sequence[Step], call: Json) -> Step:
        name, arguments = call["name"], call["arguments"].encode()
        tool, earlier = self._tools.get(name), repeats(before, name, arguments)
        status, output = "planned", ""
        if earlier >= MOST_REPEATS:
            status, output = "endless", ENDLESS
        elif earlier == MOST_REPEATS - 1:
            status, output = "done", TOLD
        elif tool and tool.approval and not self._request.store:
            status, output = "denied", UNAPPROVABLE
        elif tool and tool.approval:
            status = "approval"
        return Step(
            id=call["call_id"],
            position=len(before),
            kind="tool",
            name=name,
            input=arguments,
            status=status,
            output=output.encode() or None,
        )

    def _tell_of(self, step: Step) -> None:
        """Tell of a call that is planned, waits for a human, or has ended without being run."""
        self._log.add(self._events.plan(step))
        if step.status not in (*OPEN, "approval"):
            self._log.add(self._events.finish_call(step))

    async def _call(self, step: Step) -> None:
        """Run one call, and keep its output."""
        tool = self._tools.get(step.name)
        if tool and step.status == "running" and not tool.repeat:
            end = CallEnd(step.id, "doubt", IN_DOUBT)
        else:
            async with self._turn:
                await self._log.write(steps.begin_call, step.id)
            metrics.agent_repeats.labels(self._agent.name).inc(step.status == "running")
            with metrics.agent_seconds.labels(self._agent.name, "tool").time():
                end = await self._outcome(tool, step)
        await run_uncut(self._end_call(step, end))

    async def _end_call(self, step: Step, end: CallEnd) -> None:
        ended = replace(step, status=end.status, output=end.output.encode())
        async with self._turn:
            self._log.add(self._events.finish_call(ended))
            await self._log.write(steps.end_call, end)
        self._count([ended])

    async def _outcome(self, tool: Tool | None, step: Step) -> CallEnd:
        if tool is None:
            return CallEnd(step.id, "failed", f"There is no tool {step.name}.")
        call, limit = (
            ToolCall(step.key, step.attempt + 1, self._model),
            asyncio.timeout(tool.seconds),
        )
        try:
            async with limit:
                result = await tool.run(call, step.input.decode())
            return CallEnd(step.id, "done", told_output(result))
        except LostRunError:
            raise
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            return CallEnd(step.id, "failed", GAVE_UP)
        except Exception as error:  # the model reads any
            if limit.expired():
                doubt = "" if tool.repeat else f" {IN_DOUBT}"
                told = f"The tool did not answer within {tool.seconds:g} s.{doubt}"
                return CallEnd(step.id, "failed", told)
            if not isinstance(error, AppError):
                log.warning("the tool %s failed", step.name, exc_info=error)
            return CallEnd(step.id, "failed", told_failure(error))

    async def _settle(self, cut: str | None, error: AppError | None = None) -> None:
        """End the response: whole, cut off by a limit, or failed. Open calls stay undone."""
        found = await self._read()
        for step in found:
            if step.status in OPEN:
                self._log.add(self._events.finish_call(step))
        output, usage = output_items(found, self._agent.name), total_usage(found)
        self._log.add(self._events.settle(output, usage, cut, error))

    def _count(self, found: Iterable[Step]) -> None:
        for step in found:
            if step.status not in OPEN:
                cut = step.kind == "model" and step.status != "done"  # a server may say why
                outcome = "cut" if cut else step.status
                metrics.agent_steps.labels(self._agent.name, step.kind, outcome).inc()

    async def _read(self) -> list[Step]:
        read = self._run.resources.database.read
        return await read(steps.read_steps, self._events.response["id"])


def _is_cancelled() -> bool:
    """Whether this task is to end. A tool may also have waited for one that was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_answered(found: Sequence[Step]) -> bool:
    """Whether the last answer asks for no call."""
    return bool(found) and found[-1].kind == "model"
