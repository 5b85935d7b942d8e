"""A password's hash on the loop: it is made to take a tenth of a second."""

import hashlib

from fastapi import FastAPI

app = FastAPI()


def hashed(password: str) -> bytes:
    """Return the hash."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 600_000)  # caught by doctor EX103


@app.post("/login")
async def login(password: str) -> bool:
    """Check a password."""
    return hashed(password) == b"stored"
