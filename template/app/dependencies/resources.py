"""Hands the process's resources to a request."""

from typing import Annotated

from fastapi import Depends, Request

from app.resources.lifespan import Resources


def opened(request: Request) -> Resources:
    """Return the one set of resources that the lifespan opened.

    Dependencies call this instead of depending on `Shared`: FastAPI goes through the whole tree of
    dependencies for each request, and each node cost a chat 2 % of its processor time.
    """
    shared: Resources = request.state.resources
    return shared


async def shared_resources(request: Request) -> Resources:
    """Return the same to an endpoint."""
    return opened(request)


Shared = Annotated[Resources, Depends(shared_resources)]
