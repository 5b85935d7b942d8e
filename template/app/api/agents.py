"""Answers of agents: each is a run in a worker, which a caller follows or leaves to itself."""

from fastapi import Response

from app.api.answering import DONE
from app.api.streaming import EventStream
from app.dependencies.database import CallerDatabase
from app.dependencies.idempotency import OnceDatabase
from app.dependencies.model import RequestModel, until_disconnect
from app.dependencies.stream_slots import hold_stream
from app.resources.lifespan import Resources
from engine.agents import runs
from engine.agents.agent import Agent
from engine.agents.awaited import await_run, follow_run
from engine.agents.chat import chat_chunks, chat_of_response, response_of_chat
from engine.models.interface import ChatRequest
from engine.models.wire import encode_json
from engine.responses.schema import ResponseObject, ResponseRequest
from engine.responses.transcript import Transcript
from engine.watch import telemetry


class AgentCall:
    """A request for an agent. Its run is recorded in `rows`."""

    def __init__(
        self,
        agent: Agent,
        model: RequestModel,
        rows: CallerDatabase | OnceDatabase,
        shared: Resources,
    ) -> None:
        self._agent = agent
        self._model = model
        self._rows = rows
        self._shared = shared
        self._caller_id = model.bound.caller_id

    async def start(self, body: ResponseRequest, transcript: Transcript) -> ResponseObject:
        """Record the run and wake a worker. Raise `Unsupported` for what the agent has itself."""
        runs.refuse_for_agent(self._agent, body)
        if body.stream:
            hold_stream(self._model.request.state.on_finish, self._shared)
        started = await self._rows.write(
            runs.start_run,
            body,
            transcript,
            request_id=telemetry.request_id.get(),
            traceparent=telemetry.traceparent.get(),
        )
        await self._shared.queue.wake(runs.kind_of_run(body).pool)
        return started

    async def answer(self, body: ResponseRequest, transcript: Transcript) -> Response:
        """Return the response once its run has ended, or its events as they come."""
        started = await self.start(body, transcript)
        if body.stream:
            events = follow_run(self._shared, self._caller_id, started.id)
            first = await until_disconnect(self._model.request, anext(events))
            return EventStream(events, self._model.headers, first)
        waiting = await_run(self._shared, self._caller_id, started.id)
        found = encode_json(await until_disconnect(self._model.request, waiting))
        return Response(found, media_type="application/json", headers=self._model.headers)

    async def answer_chat(self, chat: ChatRequest) -> Response:
        """Return the same as a `chat.completion`, or as its chunks."""
        body = response_of_chat(chat)
        started = await self.start(body, Transcript.alone(body.items))
        if chat.stream:
            events = follow_run(self._shared, self._caller_id, started.id)
            chunks = chat_chunks(events, chat)
            first = await until_disconnect(self._model.request, anext(chunks))
            return EventStream(chunks, self._model.headers, first, DONE)
        waiting = await_run(self._shared, self._caller_id, started.id)
        found = chat_of_response(await until_disconnect(self._model.request, waiting))
        return Response(found.body, media_type="application/json", headers=self._model.headers)
