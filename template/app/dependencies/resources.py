"""Hands the process's resources to a request."""

from typing import Annotated

from fastapi import Depends, Request

from app.resources.lifespan import Resources


async def resources(request: Request) -> Resources:
    """Return the one set of resources that the lifespan opened."""
    opened: Resources = request.state.resources
    return opened


Shared = Annotated[Resources, Depends(resources)]
