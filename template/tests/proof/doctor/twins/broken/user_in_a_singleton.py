"""The caller in an attribute of an object that all requests share."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


class Greeter:
    """Greets."""

    user = ""

    async def greet(self, user: str) -> str:
        """Greet the user, or another one."""
        self.user = user  # caught by doctor EX302
        await asyncio.sleep(0.01)
        return self.user


greeter = Greeter()


@app.get("/")
async def endpoint(user: str) -> str:
    """Greet."""
    return await greeter.greet(user)
