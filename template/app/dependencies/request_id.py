"""The id under which this request stands in the logs."""

from typing import Annotated

from fastapi import Depends

from engine.watch import telemetry


async def request_id() -> str:
    """Return the id that the answer carries as `x-request-id`."""
    return telemetry.request_id.get()


RequestId = Annotated[str, Depends(request_id)]
