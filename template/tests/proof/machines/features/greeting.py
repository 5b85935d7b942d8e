"""A job that is due at the beginning of a year."""

from pydantic import BaseModel

from engine.jobs.jobs import Job
from engine.jobs.runs import Run


class Greeting(BaseModel):
    """Nothing: the clock starts it."""


async def greet(_run: Run, _subject: Greeting) -> None:
    """Greet nobody."""


JOB = Job("greet", Greeting, greet, cron="0 0 1 1 *")
