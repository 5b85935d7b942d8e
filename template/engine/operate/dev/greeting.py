"""The greeting of `app dev`: the address, a key, and a line to try."""

import asyncio
import json
import shlex
import socket
from http import HTTPStatus
from pathlib import Path

import httpx
import typer

from engine.callers.keys import create_key, find_caller
from engine.settings import Settings
from engine.settings.urls import mask_secrets
from engine.slots.pools import provider_pools
from engine.slots.redis_semaphore import Priority
from engine.sql.database import open_database

POLL = 0.1  # seconds
MODELS_LIMIT = 10.0  # seconds for the model server, which is asked once
WITHOUT_MODEL = """
WARNING: the model cannot be used. {problem}
Calls fail until then. If MODEL_PROVIDER is openai, look at OPENAI_BASE_URL ({url})
and OPENAI_API_KEY, mend them in .env and start again.
"""
NOT_NATIVE = """
WARNING: the model server at {url} lacks the path /responses, which it is asked for.
Set OPENAI_RESPONSES=chat, or "responses": "chat" in its entry of MODEL_FALLBACKS.
"""


async def greet(settings: Settings, listener: socket.socket, key: str) -> None:
    """Print how to use the API once it is ready; until then report now and then why it is not."""
    address = _address(listener)
    headers = {"Authorization": f"Bearer {key}"}
    limit = settings.open_timeout
    async with httpx.AsyncClient(
        base_url=address, headers=headers, timeout=limit, trust_env=False
    ) as client:
        while not await _ready(client, limit):
            pass
        models, problem = await _models(client)
    model = None if problem else settings.default_model or next(iter(models), None)
    if model is None:
        problem = problem or "The model server lists no model: set DEFAULT_MODEL."
        warning = WITHOUT_MODEL.format(problem=problem, url=mask_secrets(settings.openai_base_url))
        typer.secho(warning, fg=typer.colors.YELLOW, err=True)
    for url in await servers_without_responses(settings):
        warning = NOT_NATIVE.format(url=mask_secrets(url))
        typer.secho(warning, fg=typer.colors.YELLOW, err=True)
    typer.echo(_greeting(settings, address, key, model))


async def _ready(client: httpx.AsyncClient, limit: float) -> bool:
    """Return whether the API gets ready within `limit` seconds, having said why if it does not."""
    lacks = "it does not answer"
    try:
        async with asyncio.timeout(limit):
            while True:
                try:
                    response = await client.get("/ready")
                    lacks = response.text
                    if response.status_code == HTTPStatus.OK:
                        return True
                except httpx.TransportError as error:
                    lacks = str(error)
                await asyncio.sleep(POLL)
    except TimeoutError:
        typer.echo(f"The API is not ready after {limit:.0f} s: {lacks}. Still waiting.", err=True)
        return False


async def _models(client: httpx.AsyncClient) -> tuple[list[str], str | None]:
    """Return the models that the provider lists, or the problem with it."""
    try:
        answer = (await client.get("/v1/models", timeout=MODELS_LIMIT)).json()
    except httpx.TimeoutException:
        return [], f"The model server gives no answer within {MODELS_LIMIT:.0f} s."
    if "error" in answer:
        return [], answer["error"]["message"]
    return [card["id"] for card in answer["data"]], None


async def servers_without_responses(settings: Settings) -> list[str]:
    """Return the servers that are to speak Responses and do not know its path."""
    asked = [pool.settings for pool in provider_pools(settings, Priority.ONLINE)]
    async with httpx.AsyncClient(timeout=MODELS_LIMIT) as client:
        return [
            each.openai_base_url
            for each in asked
            if each.native_responses and await _lacks_path(client, each)
        ]


async def _lacks_path(client: httpx.AsyncClient, settings: Settings) -> bool:
    """Return whether a server does not know the path; an empty body costs nothing."""
    url, mark, query = settings.openai_base_url.partition("?")
    key = settings.openai_api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    try:
        response = await client.post(
            f"{url.rstrip('/')}/responses{mark}{query}", json={}, headers=headers
        )
    except httpx.HTTPError:
        return False  # and the models' problem has been told
    return response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greeting(settings: Settings, address: str, key: str, model: str | None) -> str:
    state = "is ready" if model else "runs without a model"
    docs = f" (documentation: {address}/docs)" if settings.docs else ""
    greeting = f"""
{settings.service_name} {state} at {address}{docs}.
Its key for development: {key}
"""
    if model is None:
        return greeting
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
    return f"""{greeting}Try it:

curl {address}/v1/chat/completions -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}
"""


CALLER = "developer"


async def development_key(settings: Settings) -> str:
    """Return the kept key, or a new one where the database does not know it."""
    file = settings.data_dir / "development.key"
    async with open_database(settings) as database:
        kept = _read(file)
        caller = await database.read(find_caller, kept)
        if caller is not None:
            return kept
        key = await database.write(create_key, CALLER)
    _write(file, key)
    return key


def _read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def _write(file: Path, key: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(key + "\n")
