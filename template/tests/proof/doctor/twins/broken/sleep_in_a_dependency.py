"""A blocking sleep in an async dependency of the router."""

import time

from fastapi import APIRouter, Depends, FastAPI


async def limited() -> None:
    """Let requests through slowly."""
    time.sleep(0.1)  # caught by doctor EX100


router = APIRouter(dependencies=[Depends(limited)])


@router.get("/")
async def endpoint() -> str:
    """Answer late."""
    return "late"


app = FastAPI()
app.include_router(router, prefix="/v1")
