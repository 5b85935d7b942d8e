"""The same in an attribute of something shared, and in a thread."""

import time

from fastapi import FastAPI

app = FastAPI()


class Search:
    """Finds things in an index that takes long to load."""

    index: dict[str, str] | None = None

    def find(self, word: str) -> str | None:
        """Return what is known of a word."""
        if self.index is None:
            time.sleep(1)  # caught by doctor EX504
            self.index = {}  # caught by doctor EX307
        return self.index.get(word)


search = Search()


@app.get("/")
def endpoint(word: str) -> str | None:
    """Find a word."""
    return search.find(word)
