"""Work for the processor: on the loop, in a thread, in a process."""

from lab import parsing, server
from lab.experiments.load import Trial, tried
from lab.measures import Experiment, Headline, Run, time_text
from lab.recording import Laboratory, code_of
from lab.servers import LabServer

CALLERS = 4


async def computing(laboratory: Laboratory) -> Experiment:
    """Return what parsing large documents does to everybody else, by where it is done."""
    async with LabServer(laboratory.room("computing")) as patient:
        runs = await tried(laboratory, patient, CALLERS, _trials())
    loop, thread, process = runs
    return Experiment(
        name="computing",
        title="Work for the processor",
        setting=f"{CALLERS} callers, again and again, have {parsing.TIMES} JSON documents of 2.6 MB"
        " parsed.",
        runs=runs,
        rate_of="answers a second",
        verdict=f"Parsed on the event loop, the documents made the median health check take"
        f" {time_text(loop.median())}. In a thread it still took {time_text(thread.median())}:"
        f" the parser holds the interpreter's lock. In another process the check took"
        f" {time_text(process.median())}.",
        shown=loop.median() > 5 * process.median() and thread.median() > 2 * process.median(),
        lesson="What computes for longer than a few milliseconds goes to a process:"
        " offload.in_process.",
        headline=Headline(
            "median health check", time_text(loop.median()), time_text(process.median())
        ),
    )


def _trials() -> list[Trial]:
    return [
        Trial(
            Run("On the event loop", "wrong", "nothing else runs", code_of(server.parse_in_loop)),
            "/parse/loop",
        ),
        Trial(
            Run(
                "In a thread",
                "wrong",
                "the lock of the interpreter goes with it",
                code_of(server.parse_in_thread),
            ),
            "/parse/thread",
        ),
        Trial(
            Run(
                "In another process",
                "right",
                "with a lock of its own; there is one of them here",
                code_of(server.parse_in_process),
            ),
            "/parse/process",
        ),
    ]
