"""Something made late, once, under a lock."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


class Search:
    """Finds things in an index."""

    def __init__(self) -> None:
        self.index: dict[str, str] | None = None
        self.lock = asyncio.Lock()

    async def find(self, word: str) -> str | None:
        """Return what is known of a word."""
        async with self.lock:
            if self.index is None:
                await asyncio.sleep(1)
                self.index = {}
        return self.index.get(word)


search = Search()


@app.get("/")
async def endpoint(word: str) -> str | None:
    """Find a word."""
    return await search.find(word)
