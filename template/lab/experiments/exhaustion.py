"""Threads that are all taken, and who needs one without knowing."""

from lab import server
from lab.experiments.load import Trial, tried
from lab.measures import Experiment, Headline, Run, time_text
from lab.recording import Laboratory, code_of
from lab.servers import LabServer

CALLERS = 100


async def exhaustion(laboratory: Laboratory) -> Experiment:
    """Return what many slow `def` handlers do to a health check with and without a `def` part."""
    async with LabServer(laboratory.room("exhaustion")) as patient:
        runs = await tried(laboratory, patient, CALLERS, _trials())
    wrong, without, own = runs
    return Experiment(
        name="exhaustion",
        title="Threads that run out",
        setting=f"{CALLERS} callers ask a route that waits {time_text(server.SLOW)} in a thread."
        f" There are {server.THREADS} threads, so {CALLERS - server.THREADS} always queue.",
        runs=runs,
        rate_of="answers a second",
        verdict="One trivial def dependency, which returns a constant, made the median health"
        f" check take {time_text(wrong.median())}: it queues for a thread behind everybody. The"
        f" same check without it took {time_text(without.median())}. With the slow calls under a"
        f" limit of their own, the dependency did no harm: {time_text(own.median())}.",
        shown=wrong.median() > 5 * without.median() and wrong.median() > 5 * own.median(),
        lesson="Write a trivial dependency as async def, and give slow calls threads of their own:"
        " engine/slots/own_threads.py does for a def handler.",
        headline=Headline(
            "median health check", time_text(wrong.median()), time_text(without.median())
        ),
    )


def _trials() -> list[Trial]:
    slow, check = server.slow_in_def, server.check
    return [
        Trial(
            Run(
                "Slow def, health check with a def dependency",
                "wrong",
                "both need one of the same 40 threads",
                code_of(slow, server.version, check),
            ),
            "/slow/thread",
            "/check",
        ),
        Trial(
            Run(
                "Slow def, health check all async",
                "partly",
                "the check needs no thread, others still do",
                code_of(slow, server.live),
            ),
            "/slow/thread",
        ),
        Trial(
            Run(
                "Slow calls offloaded, any health check",
                "right",
                "40 threads of their own leave the framework's alone",
                code_of(server.slow_offloaded, server.version, check),
            ),
            "/slow/offloaded",
            "/check",
        ),
    ]
