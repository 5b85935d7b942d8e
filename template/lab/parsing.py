"""Work for a processor: parsing JSON holds the GIL from the first byte to the last."""

import json
from functools import cache

TIMES = 5


def parse() -> int:
    """Parse a document of 2.6 MB some times; return its entries."""
    return sum(len(json.loads(document())) for _ in range(TIMES))


@cache
def document() -> str:
    """Return the document."""
    return json.dumps([{"id": number, "text": "word " * 8} for number in range(40_000)])
