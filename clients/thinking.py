"""A model server that reasons before it speaks or calls a tool, as no simulated model does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MODEL = "thinking-model"
THOUGHT = "The caller wants a city."
ANSWER = "It is warm in Rome."
CALL = {"id": "call_1", "type": "function", "index": 0}
FUNCTION = {"name": "weather", "arguments": '{"city": "Rome"}'}


@contextmanager
def thinking() -> Iterator[str]:
    """Yield the address of such a server, which knows chats alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Thinker) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


class Thinker(BaseHTTPRequestHandler):
    """Calls the tool of a chat once, then answers; each time it reasons first."""

    def do_GET(self) -> None:
        """List the one model."""
        self._tell("application/json", json.dumps({"object": "list", "data": [{"id": MODEL}]}))

    def do_POST(self) -> None:
        """Answer a chat, whole or streamed."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        thought: dict[str, Any] = {"reasoning_content": THOUGHT}
        answer: dict[str, Any] = {"content": ANSWER}
        finish = "stop"
        if asked.get("tools") and asked["messages"][-1]["role"] != "tool":
            answer, finish = {"tool_calls": [CALL | {"function": FUNCTION}]}, "tool_calls"
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        if not asked.get("stream"):
            choice = {"index": 0, "message": thought | answer, "finish_reason": finish}
            self._tell("application/json", json.dumps({"choices": [choice], "usage": usage}))
            return
        choices: list[dict[str, Any]] = [
            {"index": 0, "delta": {"role": "assistant"} | thought},
            {"index": 0, "delta": answer},
            {"index": 0, "delta": {}, "finish_reason": finish},
        ]
        chunks: list[dict[str, Any]] = [{"choices": [each]} for each in choices]
        chunks.append({"choices": [], "usage": usage})
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        self._tell("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))

    def log_message(self, *_: object) -> None:
        """Say nothing: a failed check tells enough."""

    def _tell(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
