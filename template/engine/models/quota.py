"""Rate limits of a provider, in calls and tokens a minute, beside the slots for calls at once."""

import asyncio
import logging

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.errors import ModelRateLimited
from engine.models.interface import ChatRequest, EmbeddingsRequest, Message
from engine.settings import Settings
from engine.slots.redis_semaphore import Priority

log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4
LOOK_AGAIN = 0.25
"""Seconds between two looks at a quota that is used up."""

SHORT_WAIT = 2.0
"""Longest wait of an online caller; batches wait as long as they must."""


class Quota:
    """Calls and tokens a minute of one provider, over all processes; 0 is no limit."""

    def __init__(
        self, limiter: RateLimiter, name: str, priority: Priority, settings: Settings
    ) -> None:
        calls, tokens = settings.model_requests_per_minute, settings.model_tokens_per_minute
        self._limiter = limiter
        self._name = name
        self._online = priority is Priority.ONLINE
        self._calls = RateLimitItemPerMinute(calls) if calls else None
        self._tokens = RateLimitItemPerMinute(tokens) if tokens else None

    async def spend(self, request: ChatRequest | EmbeddingsRequest) -> None:
        """Wait until the provider may get this call.

        Raise `ModelRateLimited` where an online caller would wait long. While Redis is away nothing
        is counted: the provider itself refuses calls beyond its limits.
        """
        if self._calls:
            await self._spend(self._calls, "calls", 1)
        if self._tokens:
            cost = min(cost_of(request), self._tokens.amount)
            await self._spend(self._tokens, "tokens", cost)

    async def _spend(self, item: RateLimitItem, kind: str, cost: int) -> None:
        waited = 0.0
        try:
            while not await self._limiter.hit(item, self._name, kind, cost=cost):
                if self._online and waited >= SHORT_WAIT:
                    message = f"The model's {kind} of this minute are used up."
                    raise ModelRateLimited(message, retry_after=10.0)
                await asyncio.sleep(LOOK_AGAIN)
                waited += LOOK_AGAIN
        except (RedisError, OSError) as error:
            log.warning("the %s of the model are not counted: %r", kind, error)


MOST_TOKENS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
TEXTS = ("messages", "prompt", "input", "text", "instructions")
"""Fields of bodies with the most tokens of the answer, and with the texts that the model reads."""


def cost_of(request: BaseModel) -> int:
    """Return the tokens that OpenAI counts at the door.

    That is the larger of `max_tokens` and the guess by the number of characters; see
    https://platform.openai.com/docs/guides/rate-limits.
    """
    most = max(getattr(request, name, None) or 0 for name in MOST_TOKENS)
    asked = [getattr(request, name, None) for name in TEXTS]
    return max(1 + _characters(asked) // CHARACTERS_PER_TOKEN, most)


def _characters(value: object) -> int:
    """Return the characters of texts; token ids count as the characters that they are worth."""
    match value:
        case str():
            return len(value)
        case [int(), *_]:
            return len(value) * CHARACTERS_PER_TOKEN
        case list():
            return sum(map(_characters, value))
        case Message():
            return _characters(value.content)
        case {"text": text} | {"content": text} | {"output": text}:
            return _characters(text)
    return 0


def limiter_of(redis: Redis | None, prefix: str) -> RateLimiter:
    """Return a sliding-window rate limiter, in this Redis under keys with `prefix`."""
    if redis is None:
        return SlidingWindowCounterRateLimiter(MemoryStorage())
    storage = RedisStorage(
        "async+redis://",
        implementation="redispy",
        key_prefix=prefix,
        connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # typed for scalars only
    )
    return SlidingWindowCounterRateLimiter(storage)
