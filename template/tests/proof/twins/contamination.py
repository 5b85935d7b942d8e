"""Apps that hand one caller's name to another, and apps that do not.

Each answers `GET /who` with the name from the header `X-Name`, after a wait as for a model.
"""

import asyncio
from contextvars import ContextVar
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request

WAIT = 0.002
Name = Annotated[str, Header(alias="x-name")]


def broken_global() -> FastAPI:
    app = FastAPI()

    @app.get("/who")
    async def who(x_name: Name) -> str:
        global _current
        _current = x_name
        await asyncio.sleep(WAIT)
        return _current

    return app


_current = ""


def broken_state() -> FastAPI:
    app = FastAPI()

    @app.get("/who")
    async def who(request: Request, x_name: Name) -> str:
        request.app.state.user = x_name
        await asyncio.sleep(WAIT)
        return str(request.app.state.user)

    return app


def broken_singleton() -> FastAPI:
    app = FastAPI()

    class Assistant:
        user = ""

        async def answer(self) -> str:
            await asyncio.sleep(WAIT)
            return self.user

    assistant = Assistant()

    @app.get("/who")
    async def who(x_name: Name) -> str:
        assistant.user = x_name
        return await assistant.answer()

    return app


def broken_default() -> FastAPI:
    app = FastAPI()

    def remember(name: str, history: list[str] = []) -> list[str]:
        history.append(name)
        return history

    @app.get("/who")
    async def who(x_name: Name) -> list[str]:
        await asyncio.sleep(WAIT)
        return remember(x_name)

    return app


def broken_cache() -> FastAPI:
    app = FastAPI()
    cache: dict[str, str] = {}

    @app.get("/who")
    async def who(request: Request, x_name: Name) -> str:
        if (known := cache.get(request.url.path)) is None:
            await asyncio.sleep(WAIT)
            known = cache[request.url.path] = x_name
        return known

    return app


def broken_lifespan_dict() -> FastAPI:
    """The lifespan's state is copied for each request, but a dictionary in it is one for all."""
    shared: dict[str, Any] = {}
    app = FastAPI()

    async def session() -> dict[str, Any]:
        return shared

    @app.get("/who")
    async def who(session: Annotated[dict[str, Any], Depends(session)], x_name: Name) -> str:
        session["name"] = x_name
        await asyncio.sleep(WAIT)
        return str(session["name"])

    return app


def good_argument() -> FastAPI:
    app = FastAPI()

    @app.get("/who")
    async def who(x_name: Name) -> str:
        await asyncio.sleep(WAIT)
        return x_name

    return app


def good_context() -> FastAPI:
    app = FastAPI()
    name: ContextVar[str] = ContextVar("name")

    async def caller(x_name: Name) -> None:
        name.set(x_name)

    @app.get("/who", dependencies=[Depends(caller)])
    async def who() -> str:
        await asyncio.sleep(WAIT)
        return name.get()

    return app


def good_cache() -> FastAPI:
    app = FastAPI()
    cache: dict[str, str] = {}

    @app.get("/who")
    async def who(x_name: Name) -> str:
        if x_name not in cache:
            await asyncio.sleep(WAIT)
            cache[x_name] = x_name
        return cache[x_name]

    return app
