"""A call that blocks, and four ways to make it."""

from lab import server
from lab.experiments.load import Trial, tried
from lab.measures import Experiment, Headline, Run, rate_text, time_text
from lab.recording import Laboratory, code_of
from lab.servers import LabServer
from lab.upstream import slow_model

CALL = 0.25
CALLERS = 8


async def blocking(laboratory: Laboratory) -> Experiment:
    """Return what a slow model does to everybody else, by the way it is asked."""
    folder = laboratory.room("blocking")
    async with slow_model(CALL) as url, LabServer(folder, url) as patient:
        runs = await tried(laboratory, patient, CALLERS, _trials())
    wrong, *_, right = runs
    shown = wrong.late() > 5 * right.late() and right.rate > 3 * wrong.rate
    return Experiment(
        name="blocking",
        title="A call that blocks",
        setting=f"{CALLERS} callers ask a route, again and again, that asks a model server which"
        f" takes {time_text(CALL)} to answer.",
        runs=runs,
        rate_of="answers a second",
        verdict=_verdict(wrong, right),
        shown=shown,
        lesson="On the event loop only what can be awaited may wait. The rest goes through"
        " engine/process/offload.py.",
        headline=Headline(
            "median health check", time_text(wrong.median()), time_text(right.median())
        ),
    )


def _trials() -> list[Trial]:
    return [
        Trial(
            Run(
                "A blocking client in async def",
                "wrong",
                "stops the event loop",
                code_of(server.ask_blocking),
            ),
            "/ask/blocking",
        ),
        Trial(
            Run(
                "The same client in def",
                "partly",
                "takes one of the framework's 40 threads",
                code_of(server.ask_in_def),
            ),
            "/ask/thread",
        ),
        Trial(
            Run(
                "The same client, offloaded",
                "right",
                "a thread under a limit of its own",
                code_of(server.ask_offloaded),
            ),
            "/ask/offloaded",
        ),
        Trial(
            Run("A client that awaits", "right", "no thread at all", code_of(server.ask_async)),
            "/ask/async",
        ),
    ]


def _verdict(wrong: Run, right: Run) -> str:
    return (
        "One blocking call in async def held up everybody: the median health check took"
        f" {time_text(wrong.median())}, and {CALLERS} callers shared {rate_text(wrong.rate)}"
        f" answers a second. In a thread, or awaited, the same calls gave {rate_text(right.rate)}"
        f" answers a second, and the median health check took {time_text(right.median())}."
    )
