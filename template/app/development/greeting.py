"""What a developer wants to know first: the address, a key, and a line to try."""

import asyncio
import json
import shlex
import socket
from http import HTTPStatus

import aiohttp
import typer

from app.settings import Settings

POLL = 0.1  # seconds


async def greet(settings: Settings, listener: socket.socket, key: str) -> None:
    """Print how to use the API once it is ready; until then say now and then what it lacks."""
    address = _address(listener)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(address, headers=headers) as client:
        while not await _ready(client, settings.open_timeout):
            pass
        model = settings.default_model or await _first_model(client)
    typer.echo(_greeting(settings, address, key, model))


async def _ready(client: aiohttp.ClientSession, limit: float) -> bool:
    """Return whether the API gets ready within `limit` seconds, having said why if it does not."""
    lacks = "it does not answer"
    try:
        async with asyncio.timeout(limit):
            while True:
                try:
                    async with client.get("/ready") as response:
                        lacks = await response.text()
                        if response.status == HTTPStatus.OK:
                            return True
                except aiohttp.ClientError as error:
                    lacks = str(error)
                await asyncio.sleep(POLL)
    except TimeoutError:
        typer.echo(f"The API is not ready after {limit:.0f} s: {lacks}. Still waiting.", err=True)
        return False


async def _first_model(client: aiohttp.ClientSession) -> str:
    async with client.get("/v1/models") as response:
        models = (await response.json()).get("data") or [{"id": "MODEL"}]
        return str(models[0]["id"])


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greeting(settings: Settings, address: str, key: str, model: str) -> str:
    docs = f" (documentation: {address}/docs)" if settings.docs else ""
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
    return f"""
{settings.service_name} is ready at {address}{docs}.
Its key for development: {key}
Try it:

curl {address}/v1/chat/completions -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}
"""
