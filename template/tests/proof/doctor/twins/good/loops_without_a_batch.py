"""Loops with awaits that are no batches: over uploaded files, and over what is not the client's."""

import asyncio

from fastapi import FastAPI, UploadFile

app = FastAPI()
SHARDS = ("a", "b")


async def count(shard: str) -> int:
    """Count rows."""
    await asyncio.sleep(0.01)
    return len(shard)


@app.post("/")
async def endpoint(files: list[UploadFile]) -> int:
    """Return how large all is."""
    total = 0
    for file in files:
        total += len(await file.read())
    for shard in SHARDS:
        total += await count(shard)
    return total
