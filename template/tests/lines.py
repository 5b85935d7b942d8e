"""Batch files for the tests."""

import json
from collections.abc import Iterable
from typing import Any, Final

CHAT_URL: Final = "/v1/chat/completions"


def chat_body(text: str, **options: object) -> dict[str, Any]:
    """Return the body of one chat."""
    messages = [{"role": "user", "content": text}]
    return {"model": "simulated-chat", "messages": messages, **options}


def line(custom_id: str, body: dict[str, Any], url: str = CHAT_URL) -> dict[str, Any]:
    """Return one line of a batch."""
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def jsonl(lines: Iterable[dict[str, Any]]) -> bytes:
    """Return lines as a file."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def chats(count: int, **options: object) -> bytes:
    """Return a file of `count` chats, with the ids item-0, item-1, …"""
    return jsonl(
        line(f"item-{number}", chat_body(f"Say {number}", **options)) for number in range(count)
    )
