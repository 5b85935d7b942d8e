"""A receiver of webhooks on loopback, which says what it is told to and remembers what it got."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True, slots=True)
class Received:
    """One request. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> Any:  # noqa: ANN401 -- any JSON
        """Return the payload; raise where the signature is not one by this secret."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """What it got, in order, and what it will answer: 204 when `answers` is used up."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Received] = []
        self.answers: list[tuple[int, Mapping[str, str]]] = []
        self.open = threading.Event()
        """Until it is set, nothing is answered."""
        self.open.set()

    def answer(self, *statuses: int, **headers: str) -> None:
        """Answer the next requests with these statuses, all with the same headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers += [(status, named) for status in statuses]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Yield a receiver that runs in threads until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections, where the client does

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.requests.append(Received(self.command, self.path, headers, body))
            status, extra = receiver.answers.pop(0) if receiver.answers else (204, {})
            receiver.open.wait(60)
            self.send_response(status)
            for name, value in {"content-length": "0", **extra}.items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_POST = handle_one  # noqa: N815 -- the names that http.server looks for

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield receiver
    finally:
        receiver.open.set()
        server.shutdown()
        thread.join()
        server.server_close()
