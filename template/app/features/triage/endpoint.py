"""POST /v1/triage."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api.answering import answer_whole
from app.dependencies.body import describe_body, json_body
from app.dependencies.model import CallersModel
from app.features.triage.task import TRIAGE, Ticket, Triage

router = APIRouter(prefix="/v1", tags=["example"])

TicketBody = Annotated[Ticket, Depends(json_body(Ticket))]


@router.post("/triage", openapi_extra=describe_body(Ticket), responses={200: {"model": Triage}})
async def triage_ticket(ticket: TicketBody, model: CallersModel) -> Response:
    """Sort one ticket now. For many, send a batch whose lines have the URL /v1/triage."""
    return await answer_whole(model, TRIAGE, ticket)
