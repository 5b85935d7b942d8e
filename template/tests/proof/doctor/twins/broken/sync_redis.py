"""The blocking Redis client: a millisecond each time, and seconds while Redis is away."""

import redis
from fastapi import FastAPI

app = FastAPI()
cache = redis.Redis.from_url("redis://cache")


@app.get("/")
async def endpoint(name: str) -> str:
    """Return what is remembered."""
    return str(cache.get(name))  # caught by doctor EX100
