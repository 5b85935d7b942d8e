"""A blocking session, in an endpoint that FastAPI runs in a thread."""

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
def endpoint(session: Annotated[Session, Depends(session)]) -> int:
    """Count."""
    return int(session.execute(text("select 1")).scalar_one())
