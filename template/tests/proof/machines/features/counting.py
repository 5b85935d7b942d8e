"""A job that counts, and goes on where an earlier attempt has stopped."""

from pydantic import BaseModel

from engine.jobs.jobs import Job
from engine.jobs.runs import Run


class Counting(BaseModel):
    """How far to count."""

    numbers: int


class Counted(BaseModel):
    """What was counted, and by which attempt."""

    numbers: int
    attempt: int


async def count(run: Run, subject: Counting) -> Counted:
    """Report each number."""
    for number in range((run.progress or {}).get("numbers", 0), subject.numbers):
        await run.report(numbers=number + 1)
    return Counted(numbers=subject.numbers, attempt=run.attempt)


JOB = Job("count", Counting, count)
