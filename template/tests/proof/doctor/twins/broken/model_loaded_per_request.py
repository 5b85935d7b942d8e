"""A model made for each request, blocking the loop while it loads."""

import time

from fastapi import FastAPI

app = FastAPI()


class Classifier:
    """A model that takes two seconds to load."""

    def __init__(self) -> None:
        time.sleep(2)  # caught by doctor EX100

    def label(self, text: str) -> str:
        """Return the label of a text."""
        return text[:1]


@app.post("/")
async def endpoint(text: str) -> str:
    """Label a text."""
    return Classifier().label(text)
