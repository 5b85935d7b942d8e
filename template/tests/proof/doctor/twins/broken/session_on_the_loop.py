"""SQLAlchemy's blocking session in an endpoint that runs on the loop."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

app = FastAPI()
engine = create_engine("sqlite://")


def session() -> Iterator[Session]:
    """Give a session."""
    with Session(engine) as opened:
        yield opened


@app.get("/")
async def endpoint(session: Annotated[Session, Depends(session)]) -> int:
    """Count."""
    return session.scalars(text("select 1")).one()  # caught by doctor EX100
