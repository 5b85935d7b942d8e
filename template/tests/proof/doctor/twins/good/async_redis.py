"""The async Redis client has the methods of the blocking one."""

from fastapi import FastAPI
from redis.asyncio import Redis

app = FastAPI()
cache = Redis.from_url("redis://cache")


@app.get("/")
async def endpoint(name: str) -> str:
    """Return what is remembered."""
    return str(await cache.get(name))
