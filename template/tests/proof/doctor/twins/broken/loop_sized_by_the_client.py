"""A loop whose length the client chooses."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/primes")
async def primes(below: int) -> int:
    """Count the primes below a number."""
    found = 0
    for number in range(2, below):  # caught by doctor EX102
        found += all(number % other for other in range(2, int(number**0.5) + 1))
    return found
