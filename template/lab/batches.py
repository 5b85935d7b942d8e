"""A client of batches, as this project's API has them."""

import json
from collections.abc import Iterable
from typing import Any, Self

from aiohttp import ClientSession, ClientTimeout, FormData, TCPConnector

CHAT_URL = "/v1/chat/completions"
LONGEST = 30.0


def chat_body(question: str) -> dict[str, Any]:
    """Return the body of a chat that one word answers."""
    messages = [{"role": "user", "content": question}]
    return {"model": "simulated-chat", "messages": messages, "max_tokens": 1}


class Batches:
    """Submits questions as a batch, and follows it."""

    def __init__(self, url: str, key: str) -> None:
        self._client = ClientSession(
            f"{url}/v1/",
            connector=TCPConnector(force_close=True),  # it may come back after a crash
            timeout=ClientTimeout(LONGEST),
            headers={"authorization": f"Bearer {key}"},
        )
        self.batch_id = ""

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close the connections."""
        await self._client.close()

    async def submit(self, questions: Iterable[str]) -> None:
        """Return once the batch is recorded."""
        lines = [
            {"custom_id": question, "method": "POST", "url": CHAT_URL, "body": chat_body(question)}
            for question in questions
        ]
        form = FormData({"purpose": "batch"})
        form.add_field("file", "\n".join(map(json.dumps, lines)), filename="batch.jsonl")
        async with self._client.post("files", data=form) as answer:
            answer.raise_for_status()
            file_id = (await answer.json())["id"]
        batch = {
            "input_file_id": file_id,
            "endpoint": CHAT_URL,
            "completion_window": "24h",
        }
        async with self._client.post("batches", json=batch) as answer:
            answer.raise_for_status()
            self.batch_id = (await answer.json())["id"]

    async def ended(self) -> bool:
        """Whether nothing more will come."""
        return str((await self._look())["status"]) == "completed"

    async def done(self) -> int:
        """Return how many items are done."""
        return int((await self._look())["request_counts"]["completed"]) if self.batch_id else 0

    async def results(self) -> int:
        """Return how many answers the ended batch has."""
        output = (await self._look())["output_file_id"]
        async with self._client.get(f"files/{output}/content") as answer:
            answer.raise_for_status()
            lines = (await answer.text()).splitlines()
        return sum(json.loads(line)["response"]["status_code"] == 200 for line in lines)

    async def _look(self) -> dict[str, Any]:
        async with self._client.get(f"batches/{self.batch_id}") as answer:
            answer.raise_for_status()
            batch: dict[str, Any] = await answer.json()
            return batch
