"""The tool `file_search` of agents: the model searches with words of its own, and cites."""

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from engine.agents.tools import Tool, ToolCall, ToolError, tool
from engine.documents.citations import CitingRelay, Source
from engine.documents.file_search import (
    RESULTS,
    RULES,
    STORES,
    FileSearchTool,
    search_stores,
    source_text,
)
from engine.documents.ownership import stores_called
from engine.documents.search import Hit
from engine.models.wire import Json

SHOWN = re.compile(r'^<source number="(\d{4})" id="([^"]+)" file=(".*")>$', re.MULTILINE)


def file_search(*names: str, max_num_results: int = RESULTS) -> Tool:
    """Return a tool that searches the vector stores of the run's caller with these names or ids.

    Its sources have numbers that hold for all searches of a run. The agent's answer has a
    `file_citation` where the model writes such a number in brackets.
    """

    async def file_search(query: Annotated[str, Field(min_length=1)], call: ToolCall) -> str:
        """Search the documents for what answers a question."""
        stores = await call.resources.database.read(stores_called, call.caller_id, names)
        if not stores:
            raise ToolError(f"The caller has no vector store called {' or '.join(names)}.")
        wanted = FileSearchTool(
            type="file_search", vector_store_ids=stores[:STORES], max_num_results=max_num_results
        )
        hits = await search_stores(call.model, wanted, query)
        if not hits:
            return "No source was found: search with other words, or say so."
        return "\n\n".join([RULES, *(source_text(number_of(hit), hit) for hit in hits)])

    return replace(tool(file_search), relay=citing_relay)


def number_of(hit: Hit) -> int:
    """Return the number of a chunk, from 1000 to 9999: the same in each search."""
    return zlib.crc32(f"{hit.file_id} {hit.seq}".encode()) % 9000 + 1000


def citing_relay(response: Json, outputs: Sequence[str]) -> CitingRelay:
    """Return what makes events of an answer that may cite the sources of these outputs."""
    shown = [found for output in outputs for found in SHOWN.findall(output)]
    sources = {int(number): Source(id_, json.loads(name)) for number, id_, name in shown}
    return CitingRelay(response, sources)
