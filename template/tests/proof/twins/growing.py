"""What keeps something of each request for ever, and what has a bound."""

from cachetools import LRUCache

PAGE = 8192

kept: list[bytes] = []
by_request: dict[int, bytes] = {}
bounded: LRUCache[int, bytes] = LRUCache(maxsize=50)


async def broken_list(number: int) -> None:
    kept.append(number.to_bytes(PAGE, "big"))


async def broken_cache(number: int) -> None:
    by_request[number] = number.to_bytes(PAGE, "big")


async def good_cache(number: int) -> None:
    bounded[number] = number.to_bytes(PAGE, "big")


async def good_nothing(number: int) -> None:
    number.to_bytes(PAGE, "big")
