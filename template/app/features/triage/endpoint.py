"""POST /v1/triage: the example feature's endpoint, yours to change."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api.answering import ModelAnswer
from app.dependencies.body import describe, json_body
from app.features.triage.task import OPERATION, Ticket, Triage

router = APIRouter(prefix="/v1", tags=["example"])

TicketBody = Annotated[Ticket, Depends(json_body(Ticket))]


@router.post("/triage", openapi_extra=describe(Ticket), responses={200: {"model": Triage}})
async def triage_ticket(ticket: TicketBody, answer: ModelAnswer) -> Response:
    """Sort one ticket now. For many, send a batch whose lines have the URL /v1/triage."""
    return await answer.whole(OPERATION, ticket)
