"""A batch from its upload to its results, through the official client."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Literal

from openai import OpenAI
from openai.types import Batch

URL: Literal["/v1/chat/completions"] = "/v1/chat/completions"
LIMIT = 120.0  # seconds for the whole batch
FINAL = {"completed", "failed", "expired", "cancelled"}


def run_batch(
    client: OpenAI,
    bodies: Mapping[str, dict[str, object]],
    watch: Callable[[int], None] = lambda _done: None,
) -> dict[str, str]:
    """Send one request for each body, by its custom id, and return the texts by the same ids.

    `watch` is told how many are done, again and again. Raise `TimeoutError` or `RuntimeError` where
    the batch does not complete.
    """
    lines = [
        {"custom_id": name, "method": "POST", "url": URL, "body": body}
        for name, body in bodies.items()
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = client.files.create(file=("batch.jsonl", content), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=URL,
        completion_window="24h",
    )
    batch = _follow(client, batch, watch)
    if batch.status != "completed" or batch.output_file_id is None:
        raise RuntimeError(f"The batch did not complete: {batch.to_json()}")
    return _texts(client.files.content(batch.output_file_id).text)


def _follow(client: OpenAI, batch: Batch, watch: Callable[[int], None]) -> Batch:
    limit = time.monotonic() + LIMIT
    while batch.status not in FINAL:
        if time.monotonic() > limit:
            raise TimeoutError(f"The batch is not done after {LIMIT:.0f} s: {batch.to_json()}")
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
        if counts := batch.request_counts:
            watch(counts.completed + counts.failed)
    return batch


def _texts(output: str) -> dict[str, str]:
    results = [json.loads(line) for line in output.splitlines()]
    return {
        result["custom_id"]: result["response"]["body"]["choices"][0]["message"]["content"]
        for result in results
    }
