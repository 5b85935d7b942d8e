"""A coroutine is made and thrown away: nothing of it ever runs."""


async def store(text: str) -> None:
    """Store a text."""


async def handler(text: str) -> str:
    """Answer, with nothing stored."""
    store(text)  # caught by mypy unused-coroutine
    return text
