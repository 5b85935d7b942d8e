"""The same as an expression, with a constant of the module, in a function."""

from fastapi import FastAPI

app = FastAPI()

ROUNDS = 3_000


def score() -> int:
    """Compute for half a second."""
    return sum(a * b for a in range(ROUNDS) for b in range(ROUNDS))  # caught by doctor EX102


@app.get("/")
async def endpoint() -> int:
    """Return the score."""
    return score()
