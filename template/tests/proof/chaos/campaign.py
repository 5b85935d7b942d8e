"""One campaign: a service, its callers, faults where the seed draws them, and the verdict."""

import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.proof.chaos import faults
from tests.proof.chaos.caller import RETRIES, Errand
from tests.proof.chaos.evidence import Evidence, awake, neglected, read_rows
from tests.proof.chaos.faults import Event, Stage
from tests.proof.chaos.model import Model, read_calls, serving_model
from tests.proof.chaos.oracle import CHECKS
from tests.servers import EmbeddedRedis, Postgres, running
from tests.service import eventually, service

LANES = 2
LEASE, SWEEP = 2.0, 0.2
EXPIRY_ROUNDS = 1 + round(LEASE / 3 / SWEEP)
"""Sweeps until a worker learns that its lease has expired: each takes away what it holds."""

PATIENCE = 120.0
"""Seconds without progress after which something must be wrong."""

Report = Callable[[str], None]


@dataclass
class Campaign:
    """What a seed brings about."""

    seed: int
    items: int
    stage: Stage
    report: Report
    events: list[Event] = field(default_factory=list)
    errands: list[Errand] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._key = self.stage.service.new_key()

    def run(self) -> list[str]:
        """Have the batches done amid faults; return what callers have to complain of."""
        count = 5 if self.items < 10_000 else 14
        postgres = self.stage.postgres is not None
        plan = faults.draw(self.stage.random, self.items, postgres=postgres, count=count)
        second = self.stage.random.randrange(count)
        with ThreadPoolExecutor(2) as callers:
            waiting = [self._send(callers, Errand("first", self.items))]
            for number, (point, fault) in enumerate(plan):
                self._wait_for(point, waiting[0])
                if number == second:
                    waiting.append(self._send(callers, self._second()))
                self._let_happen(fault)
            self.stage.model.slow_from = None
            return [str(e) for each in waiting if (e := each.exception()) is not None]

    def _second(self) -> Errand:
        cancelled = self.stage.random.random() < 0.5
        return Errand("second", self.items // 10, cancelled=cancelled)

    def _send(self, callers: ThreadPoolExecutor, errand: Errand) -> Future[None]:
        self.errands.append(errand)

        def run() -> None:
            stage = self.stage
            with stage.service.client(self._key, max_retries=RETRIES) as client:
                errand.run(client, PATIENCE)

        return callers.submit(run)

    def _wait_for(self, point: int, first: Future[None]) -> None:
        self.stage.model.slow_from = point
        eventually(lambda: self.stage.model.calls >= point or first.done(), 10 * PATIENCE)

    def _let_happen(self, fault: faults.Fault) -> None:
        self.lanes += self.stage.service.in_database(neglected, LEASE)
        calls, began = self.stage.model.calls, time.time()
        hit = fault(self.stage)
        rounds = EXPIRY_ROUNDS if fault is faults.expire_lease else 1
        self.events.append(Event(fault.__name__, began, time.time(), tuple(hit), rounds))
        took = time.time() - began
        self.report(f"{fault.__name__} at call {calls}, {took:.1f} s {' '.join(hit)}")


def run(seed: int, items: int, database: str, report: Report = print) -> list[str]:
    """Run one campaign and return every violation; `database` is `sqlite` or `postgresql`."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        evidence = _evidence(seed, items, database, Path(name), report)
    violations = [violation for check in CHECKS for violation in check(evidence)]
    for violation in violations[:20]:
        report(f"VIOLATION: {violation}")
    report(
        f"seed {seed}, {database}: {len(evidence.rows.items)} items in"
        f" {len(evidence.rows.batches)} batches, {len(evidence.calls)} calls,"
        f" {len(evidence.events)} faults, {time.monotonic() - started:.0f} s:"
        f" {len(violations)} violations"
    )
    return violations


def _evidence(seed: int, items: int, database: str, folder: Path, report: Report) -> Evidence:
    effects, chunk = folder / "effects.jsonl", max(5, items // 400)
    model = Model(seed, effects)
    with _stage(seed, database, folder, chunk, model) as stage:
        campaign = Campaign(seed, items, stage, report)
        complaints = campaign.run()
        deaths = [*_ended_by_themselves(stage), *_stop_all(stage)]
        with suppress(AssertionError):  # the oracle says it better
            eventually(lambda: stage.service.in_database(read_rows).leases == 0, 3 * LEASE)
        return Evidence(
            seed,
            stage.service.in_database(read_rows),
            list(read_calls(effects)),
            [*campaign.events, *_starved(stage, campaign.events)],
            campaign.errands,
            complaints,
            deaths,
            [*campaign.lanes, *stage.service.in_database(awake)],
            stage.postgres.log.read_text(errors="replace") if stage.postgres else "",
            in_flight=LANES * chunk,
            attempts=stage.service.settings.batch_attempts,
            lease=LEASE,
        )


@contextmanager
def _stage(seed: int, database: str, folder: Path, chunk: int, model: Model) -> Iterator[Stage]:
    with ExitStack() as stack:
        redis = stack.enter_context(running(EmbeddedRedis(folder)))
        postgres = None
        if database == "postgresql":
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            postgres = stack.enter_context(running(Postgres(home)))
        ready = stack.enter_context(
            service(
                folder,
                redis.url,
                postgres.url if postgres else None,
                model_provider="openai",
                openai_base_url=stack.enter_context(serving_model(model)),
                lease_seconds=LEASE,
                sweep_seconds=SWEEP,
                batch_lanes=LANES,
                batch_chunk=chunk,
                batch_crashes=1000,
                shutdown_grace=10,
                model_slot_lease=LEASE,  # a killed worker holds its slots for as long
            )
        )
        ready.start("api", "worker", "worker", **faults.WORKER_KEY)
        yield Stage(ready, redis, postgres, model, Random(seed), {})


def _starved(stage: Stage, events: Sequence[Event]) -> Iterator[Event]:
    """Yield the leases that workers could not renew although no fault had hit them."""
    for program in stage.service.programs:
        for event in faults.starved(program.name, program.text(), LEASE):
            if not any(each.reaches(program.name, event.ended, LEASE) for each in events):
                yield event


def _ended_by_themselves(stage: Stage) -> Iterator[str]:
    for program in stage.service.programs:
        code = program.process.poll()
        expected = (None, -signal.SIGKILL, stage.exits.get(program.name))
        if code not in expected:
            yield f"{program.name} ended by itself with {code}: {program.text()[-500:]}"


def _stop_all(stage: Stage) -> Iterator[str]:
    for program in stage.service.programs:
        if not program.ended:
            stage.exits[program.name] = program.stop()
    for name, code in stage.exits.items():
        # uvicorn ends its API gracefully and then once more by the signal that it got.
        if code != (-signal.SIGTERM if name.startswith("api") else 0):
            yield f"{name} was asked to stop and ended with {code}"
