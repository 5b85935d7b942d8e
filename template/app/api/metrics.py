"""GET /metrics: the metrics of this process, for Prometheus."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Header, Response

from app.dependencies.resources import Shared
from engine.errors import Unauthenticated
from engine.views.gauges import CONTENT_TYPE, exposition

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(
    shared: Shared, authorization: Annotated[str | None, Header()] = None
) -> Response:
    """Give the metrics of this process; where `metrics_token` is set, to its bearer only."""
    token = shared.settings.metrics_token
    if token is not None:
        wanted = f"Bearer {token.get_secret_value()}".encode()
        if not secrets.compare_digest((authorization or "").encode(), wanted):
            raise Unauthenticated("Send METRICS_TOKEN as a header: Authorization: Bearer TOKEN.")

    async def load() -> bytes:
        return exposition(shared)

    return Response(await shared.probes.get("metrics", load), media_type=CONTENT_TYPE)
