"""Somebody who has a batch done, with the official client and its own retries."""

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from openai import ConflictError, OpenAI
from openai.types import Batch

from tests.lines import chat_body, jsonl, line

FINAL = ("completed", "failed", "expired", "cancelled")
RETRIES = 12
"""Of the official client, which waits up to 8 s between two: an API that starts again is found."""


@dataclass(slots=True)
class Errand:
    """A batch as its caller sees it, from the upload to the last line of the results."""

    label: str
    items: int
    cancelled: bool = False
    """Whether the caller cancels it in the middle."""
    batch_id: str | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    """What came of it, from both files."""

    def run(self, client: OpenAI, patience: float) -> None:
        """Submit, follow, read; raise `TimeoutError` after `patience` seconds without progress."""
        uploaded = client.files.create(file=("in.jsonl", self._input()), purpose="batch")
        batch = client.batches.create(
            input_file_id=uploaded.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            extra_headers={"Idempotency-Key": f"{self.label}-of-this-campaign"},
        )
        self.batch_id = batch.id
        moved = time.monotonic()
        while batch.status not in FINAL:
            if time.monotonic() > moved + patience:
                raise TimeoutError(f"{self.label} is {batch.status} and stands still")
            time.sleep(0.1)
            self._cancel_in_the_middle(client, batch)
            before, batch = batch, client.batches.retrieve(batch.id)
            if batch != before:
                moved = time.monotonic()
        for file in (batch.output_file_id, batch.error_file_id):
            if file:
                self.lines += map(json.loads, client.files.content(file).text.splitlines())

    def ids(self) -> list[str]:
        """Return what the items are called; it is also what they ask the model."""
        return [f"{self.label}-{number}" for number in range(self.items)]

    def _input(self) -> bytes:
        return jsonl(line(each, chat_body(each)) for each in self.ids())

    def _cancel_in_the_middle(self, client: OpenAI, batch: Batch) -> None:
        counts = batch.request_counts
        under_way = batch.status == "in_progress" and counts and counts.completed > 0
        if self.cancelled and under_way:
            with suppress(ConflictError):  # it has ended meanwhile
                client.batches.cancel(batch.id)
