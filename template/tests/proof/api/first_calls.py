"""Prints each module that the first calls of a started API import. Run as a program."""

import asyncio
import sys

from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings
from engine.callers.keys import create_key
from engine.sql.database import open_database
from tests.api.serving import serving
from tests.lines import CHAT_URL, chats
from tests.tables import make_tables

MODELS = {
    "local": ("smollm2-135m-instruct", "wordllama-256"),
    "simulated": ("simulated-chat", "simulated-embeddings"),
}
SETTINGS = Settings(database_url="sqlite:///app.db", redis_url="none", model_provider=sys.argv[1])


async def _make_key() -> str:
    await make_tables(SETTINGS)
    async with open_database(SETTINGS) as database:
        return await database.write(create_key, "ada")


async def _warm_up_the_client() -> None:
    async with serving(FastAPI()) as client:
        await client.post("/", files={"file": b""})
        await client.post("/", json={})


async def main() -> None:
    """Call what needs most."""
    key = await _make_key()
    await _warm_up_the_client()
    async with serving(create_app(SETTINGS)) as client:
        client.headers["authorization"] = f"Bearer {key}"
        models = MODELS[sys.argv[1]]
        before = set(sys.modules)
        file = await client.post(
            "/v1/files", files={"file": ("in.jsonl", chats(1))}, data={"purpose": "batch"}
        )
        calls = {
            "/v1/batches": {
                "input_file_id": file.json()["id"],
                "endpoint": CHAT_URL,
                "completion_window": "24h",
            },
            "/v1/jobs": {"name": "nobody"},
            CHAT_URL: {"model": models[0], "messages": [{"role": "user", "content": "Hi"}]},
            "/v1/embeddings": {"model": models[1], "input": "Hi"},
            "/v1/triage": {"text": "Hi"},
        }
        answers = [await client.post(path, json=body) for path, body in calls.items()]
        answers += [await client.get(path) for path in ("/openapi.json", "/ready", "/metrics")]
        statuses = [str(answer.status_code) for answer in (file, *answers)]
        imported = sorted(set(sys.modules) - before)
        sys.stdout.write(f"\n{' '.join(imported)}\n{' '.join(statuses)}\n")


asyncio.run(main())
