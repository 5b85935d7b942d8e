"""The trainer behind OPENAI_BASE_URL: OpenAI, another server of its protocol, or this app again."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, TypeAlias, Union
from urllib.parse import quote

import httpx
import msgspec

from engine.errors import ModelDown, ModelError, ModelTimeout, Unsupported
from engine.fine_tuning.provider_job import (
    Action,
    ProviderEvent,
    ProviderJob,
    UnreadableAnswer,
    read_answer,
    read_answers,
)
from engine.fine_tuning.schema import Checkpoint
from engine.fine_tuning.simulated_trainer import SimulatedTrainer
from engine.fine_tuning.tables import FineTuningJobRow
from engine.models.refusals import refusal_of
from engine.process.http import Http
from engine.resources import Resources
from engine.settings import Settings

MARK = "origin"
"""Key in the `metadata` of a provider's job: its value is the id of ours."""

CALL_SECONDS, LONGEST_ANSWER = 60.0, 8 * 1024 * 1024
"""Limits of one call, but for the time of an upload."""

PAGE, MOST_PAGES = 100, 20
"""Things that one call lists, and calls in which a job or its events are looked for."""

CLOCK_SKEW = 3600.0
"""Seconds that the provider's clock may be behind ours."""


Trainer: TypeAlias = Union[SimulatedTrainer, "RemoteTrainer"]


def trainer_of(resources: Resources, row: FineTuningJobRow) -> Trainer:
    """Return the trainer for a job. Raise `Unsupported` where the provider trains nothing."""
    require_trainer(resources.settings)
    if resources.settings.model_provider == "simulated":
        return SimulatedTrainer(resources.settings, row)
    return RemoteTrainer(resources.settings, resources.http, row.id)


def require_trainer(settings: Settings) -> None:
    """Raise `Unsupported` where the provider trains nothing."""
    if settings.model_provider not in ("openai", "simulated"):
        message = (
            f"The provider `{settings.model_provider}` of this service trains nothing: "
            "set MODEL_PROVIDER=openai, and OPENAI_BASE_URL to a server that does."
        )
        raise Unsupported(message, param="model", code="fine_tuning_not_offered")


class RemoteTrainer:
    """The trainer of the provider `openai`."""

    def __init__(self, settings: Settings, http: Http, own_id: str) -> None:
        url, mark, query = settings.openai_base_url.partition("?")
        self._url, self._query = url.rstrip("/"), mark + query
        key = settings.openai_api_key
        self._headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._http = http
        self._own_id = own_id

    async def upload(self, filename: str, size: int, parts: AsyncIterator[bytes]) -> str:
        """Send the file as a form, in pieces. Its name begins with our job's id."""
        edge = f"----{self._own_id}"
        name = f"{self._own_id}-{re.sub(r'[^A-Za-z0-9_.-]', '_', filename)[-100:]}"
        head = (
            f'--{edge}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
            f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n'
            "content-type: application/jsonl\r\n\r\n"
        ).encode()
        tail = f"\r\n--{edge}--\r\n".encode()

        async def form() -> AsyncIterator[bytes]:
            yield head
            async for part in parts:
                yield part
            yield tail

        headers = {
            "content-type": f"multipart/form-data; boundary={edge}",
            "content-length": str(len(head) + size + len(tail)),
        }
        said = await self._ask("POST", "/files", content=form(), headers=headers, seconds=None)
        return read_answer(ProviderJob, {**(said or {}), "status": ""}).id

    async def create(self, body: dict[str, Any]) -> ProviderJob:
        """Start the training, with our mark on it and a key against a second one."""
        sent = msgspec.json.encode({**body, "metadata": {MARK: self._own_id}})
        headers = {
            "content-type": "application/json",
            "content-length": str(len(sent)),
            "idempotency-key": self._own_id,
        }

        async def once() -> AsyncIterator[bytes]:  # `ask_again` repeats a body of bytes
            yield sent

        said = await self._ask("POST", "/fine_tuning/jobs", content=once(), headers=headers)
        return read_answer(ProviderJob, said)

    async def find(self, files: Sequence[str], since: float) -> ProviderJob | None:
        """Look for the mark among the jobs since then. A file's id is a mark, too: see `upload`."""
        query = {"limit": str(PAGE)}
        for _ in range(MOST_PAGES):
            data, more = await self._list("/fine_tuning/jobs", query)
            found = read_answers(ProviderJob, data)
            for job in found:
                if job.training_file in files or (job.metadata or {}).get(MARK) == self._own_id:
                    return job
            if not more or not found or 0 < found[-1].created_at < since - CLOCK_SKEW:
                return None
            query["after"] = found[-1].id
        return None

    async def look(self, job_id: str) -> ProviderJob | None:
        """Ask for the state."""
        return self._read(job_id, await self._ask("GET", _path(job_id), none_at_404=True))

    async def act(self, job_id: str, action: Action) -> ProviderJob | None:
        """Ask for it. Raise `ModelError` where the provider refuses."""
        path = f"{_path(job_id)}/{action}"
        return self._read(job_id, await self._ask("POST", path, none_at_404=True))

    async def events(self, job_id: str, known: set[str]) -> list[ProviderEvent]:
        """Read the pages, newest first, until one has an event that is known."""
        query, found = {"limit": str(PAGE)}, list[ProviderEvent]()
        for _ in range(MOST_PAGES):
            data, more = await self._list(f"{_path(job_id)}/events", query, none_at_404=True)
            page = read_answers(ProviderEvent, data)
            found += [each for each in page if each.id not in known]
            if not more or not page or any(each.id in known for each in page):
                break
            query["after"] = page[-1].id
        return found[::-1]

    async def checkpoints(
        self, job_id: str, query: dict[str, str]
    ) -> tuple[list[Checkpoint], bool]:
        """Ask for a page; the checkpoints name our job."""
        data, more = await self._list(f"{_path(job_id)}/checkpoints", query, none_at_404=True)
        named = [{**each, "fine_tuning_job_id": self._own_id} for each in data]
        return read_answers(Checkpoint, named), more

    async def remove_files(self, files: Sequence[str]) -> None:
        """Delete them, and each whose name begins with our job's id."""
        data, _ = await self._list("/files", {"purpose": "fine-tune", "limit": "10000"})
        sent = {str(each.get("id")) for each in data if self._is_ours(each)}
        for file_id in sent.union(files):
            await self._ask("DELETE", f"/files/{quote(file_id, safe='')}", none_at_404=True)

    def _is_ours(self, file: dict[str, Any]) -> bool:
        return str(file.get("filename")).startswith(f"{self._own_id}-")

    def _read(self, job_id: str, said: dict[str, Any] | None) -> ProviderJob | None:
        job = None if said is None else read_answer(ProviderJob, said)
        if job and job.id != job_id:
            raise ModelError(f"The trainer was asked for {job_id} and told of another job.")
        return job

    async def _list(
        self, path: str, query: dict[str, str], *, none_at_404: bool = False
    ) -> tuple[list[dict[str, Any]], bool]:
        url = f"{path}?{httpx.QueryParams(query)}"
        said = await self._ask("GET", url, none_at_404=none_at_404)
        data = [] if said is None else said.get("data")
        if not isinstance(data, list):
            raise ModelError("The trainer's answer is no list.")
        more = said is not None and said.get("has_more") is True
        return [each for each in data if isinstance(each, dict)], more

    async def _ask(
        self,
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        *,
        content: AsyncIterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        seconds: float | None = CALL_SECONDS,
        none_at_404: bool = False,
    ) -> dict[str, Any] | None:
        """Return the object that the provider answers; None, where that is asked for, for a 404."""
        url = self._url + path
        url += self._query.replace("?", "&") if "?" in path else self._query
        sent = {**self._headers, **(headers or {})}
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream(method, url, content=content, headers=sent) as response,
            ):
                body = await _read(response)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ModelTimeout("The trainer gave no answer in time.") from error
        except httpx.TransportError as error:
            message = f"The trainer cannot be reached: {type(error).__name__}."
            raise ModelDown(message) from error
        if response.status_code == 404 and none_at_404:
            return None
        if not response.is_success:
            raise refusal_of(response.status_code, response.headers, body)
        return _object(body)


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > LONGEST_ANSWER:
            raise ModelError("The trainer's answer is too long.")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableAnswer("The trainer's answer is no JSON object.") from error


def _path(job_id: str) -> str:
    return f"/fine_tuning/jobs/{quote(job_id, safe='')}"
