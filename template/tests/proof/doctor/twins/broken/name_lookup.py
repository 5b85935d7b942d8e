"""Looking up a name: fast while the resolver answers, five seconds where it does not."""

import socket

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint(host: str) -> int:
    """Count the addresses of a host."""
    return len(socket.getaddrinfo(host, 443))  # caught by doctor EX100
