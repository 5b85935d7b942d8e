"""A trainer on loopback that lies, hangs and forgets as a test wants it to."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Json: TypeAlias = dict[str, Any]
Said: TypeAlias = tuple[int, object] | None

JOBS = "/v1/fine_tuning/jobs"
MODEL = "ft:gpt:lab:mine"


class FakeProvider:
    """What it has, and what it does beside the protocol."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, str] = {}
        self.received: list[bytes] = []
        """Contents of all files that were ever sent."""
        self.jobs: dict[str, Json] = {}
        self.events: dict[str, list[Json]] = {}
        self.calls: Counter[str] = Counter()
        self.keeps_metadata = True
        self.statuses: list[Json] = []
        """Changes of a job at each look, then it has succeeded."""
        self.faults: dict[str, list[Callable[[], Said]]] = {}
        """By the name of a call: functions that are called after it was carried out. Each may
        return a status and a body in place of the right ones."""

    def fault(self, call: str, *faults: Callable[[], Said]) -> None:
        """Let the next calls of this name end so."""
        self.faults.setdefault(call, []).extend(faults)

    def of(self, job_id: str) -> list[Json]:
        """Return its jobs for one of our fine-tunings."""
        return [each for each in self.jobs.values() if each["own"] == job_id]

    def answer(self, method: str, path: str, body: bytes, headers: Message) -> tuple[int, object]:
        """Carry a call out and return its answer."""
        place = re.sub(r"/(ftjob|file)-\d+", "/ID", path.removeprefix("/v1"))
        call = f"{method} {place}"
        self.calls[call] += 1
        said = self._carried_out(call, path.split("/"), body, headers)
        waiting = self.faults.get(call)
        return (waiting.pop(0)() if waiting else None) or said

    def _carried_out(  # noqa: PLR0911 -- each call has its answer
        self, call: str, path: list[str], body: bytes, headers: Message
    ) -> tuple[int, object]:
        match call:
            case "POST /files":
                return 200, self._take_file(body, headers)
            case "GET /files":
                listed = [{"id": key, "filename": name} for key, name in self.files.items()]
                return 200, {"data": listed, "has_more": False}
            case "DELETE /files/ID":
                self.files.pop(path[3], None)
                return 200, {"id": path[3], "deleted": True}
            case "POST /fine_tuning/jobs":
                return 200, self._create(json.loads(body), str(headers["idempotency-key"]))
            case "GET /fine_tuning/jobs":
                return 200, {"data": [*self.jobs.values()][::-1], "has_more": False}
            case "GET /fine_tuning/jobs/ID/events":
                return 200, {"data": self.events.get(path[4], [])[::-1], "has_more": False}
            case "GET /fine_tuning/jobs/ID":
                return 200, self._look(path[4])
            case "POST /fine_tuning/jobs/ID/cancel":
                self.jobs[path[4]]["status"] = "cancelled"
                return 200, self.jobs[path[4]]
        return 404, {"error": {"message": "There is nothing here."}}

    def _take_file(self, body: bytes, headers: Message) -> Json:
        kind = f"content-type: {headers['content-type']}\r\n\r\n".encode()
        parts = BytesParser().parsebytes(kind + body).get_payload()
        assert isinstance(parts, list)
        names = [part.get_filename() for part in parts if isinstance(part, Message)]
        self.received.append(bytes(parts[1].get_payload(decode=True)))  # type: ignore[union-attr]
        file_id = f"file-{self.calls['POST /files']}"
        self.files[file_id] = str(names[1])
        return {"id": file_id, "filename": names[1], "object": "file"}

    def _create(self, body: Json, own: str) -> Json:
        job_id = f"ftjob-{self.calls['POST /fine_tuning/jobs']}"
        if not self.keeps_metadata:
            body.pop("metadata")
        made = {"id": job_id, "status": "queued", "created_at": int(time.time()), "own": own}
        self.jobs[job_id] = {**body, **made, "fine_tuned_model": None}
        return self.jobs[job_id]

    def _look(self, job_id: str) -> Json:
        job = self.jobs[job_id]
        if job["status"] != "cancelled":
            done = {"status": "succeeded", "fine_tuned_model": f"{MODEL}:{job['own']}"}
            job.update(self.statuses.pop(0) if self.statuses else done)
        return job


class Address:
    """Where a trainer is reached: another one for each test, at the same URL."""

    def __init__(self) -> None:
        self.url = ""
        self.provider = FakeProvider(self.url)


@contextmanager
def provider_address() -> Iterator[Address]:
    """Yield such an address, which is served by threads until the block ends."""
    address = Address()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = urlsplit(self.path).path
            status, said = address.provider.answer(self.command, path, body, self.headers)
            if status == 0:  # it hangs up
                self.close_connection = True
                return
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    address.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
