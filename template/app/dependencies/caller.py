"""Authentication: API key to caller."""

import hashlib
from typing import Annotated, cast

from fastapi import Depends, Request

from app.dependencies.resources import opened
from engine.callers import keys
from engine.callers.keys import Caller
from engine.errors import Unauthenticated

SCHEME = "Bearer"


async def current_caller(request: Request) -> Caller:
    """Return the caller of a live key; raise `Unauthenticated` for anything else.

    The answer is remembered for `key_cache_seconds`, under the key's hash: no key stays in memory.
    """
    shared = opened(request)
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != SCHEME.lower() or not key.strip():
        message = "You didn't provide an API key. Send it as a header: Authorization: Bearer KEY."
        raise Unauthenticated(message)
    name = hashlib.sha256(key.strip().encode()).hexdigest()
    found = await shared.cache.get(
        f"caller:{name}", lambda: shared.database.read(keys.find_caller, key.strip())
    )
    if found is None:
        shared.cache.forget(f"caller:{name}")
        raise Unauthenticated(
            "Incorrect API key provided: it is unknown or revoked. Ask for a new one."
        )
    return cast("Caller", found)


CurrentCaller = Annotated[Caller, Depends(current_caller)]


async def flags(request: Request, caller: CurrentCaller) -> frozenset[str]:
    """Return this caller's feature flags: the ones set for all callers, and the caller's own."""
    return opened(request).settings.feature_flags | caller.flags


Flags = Annotated[frozenset[str], Depends(flags)]
