"""What goes wrong in a campaign, and where the seed puts it."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random

from redis import Redis
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine.sql.statements import now
from engine.sql.tables import LeaseRow
from tests.proof.chaos.model import Model
from tests.servers import EmbeddedRedis, Postgres
from tests.service import Program, Service

LOST = re.compile(r"^(\S+) WARNING .* is lost: it was last renewed ([\d.]+) s ago$", re.MULTILINE)
"""What a worker logs where it finds that its lease has run out."""

WORKER_KEY = {"OPENAI_API_KEY": "{name}"}
"""Each worker tells the model its name."""


@dataclass(frozen=True, slots=True)
class Stage:
    """All that may be hurt."""

    service: Service
    redis: EmbeddedRedis
    postgres: Postgres | None
    model: Model
    random: Random
    exits: dict[str, int]
    """How those programs ended that were asked to stop."""

    def start_workers(self, count: int = 1) -> None:
        """Start workers that tell the model their names."""
        self.service.start(*["worker"] * count, **WORKER_KEY)

    def busy_worker(self) -> Program:
        """Return the worker that asked the model last, or any."""
        workers = self.service.workers()
        busy = [worker for worker in workers if worker.name == self.model.last_asker]
        return self.random.choice(busy or workers)

    def api(self) -> Program:
        """Return the API that runs."""
        found = [program for program in self.service.programs if program.command == "api"]
        running = [program for program in found if not program.ended]
        assert running, f"the API has ended by itself:\n{found[-1].text()[-3000:]}"
        return running[0]


Fault = Callable[[Stage], list[str]]
"""Does harm, mends it, and returns the names of the workers that may have lost what they held."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fault that took place, from the harm to its end, and the workers that it hit."""

    fault: str
    began: float
    ended: float
    hit: tuple[str, ...]
    rounds: int = 1
    """How often it may cost what is in flight."""

    def reaches(self, worker: str, at: float, lease: float) -> bool:
        """Whether it hit the worker and may be why that one loses a lease at this time."""
        return worker in self.hit and self.began < at < self.ended + lease


def kill_worker(stage: Stage) -> list[str]:
    """Kill one of two workers."""
    worker = stage.busy_worker()
    worker.stop(signal.SIGKILL)
    stage.start_workers()
    return [worker.name]


def kill_all_workers(stage: Stage) -> list[str]:
    """Kill both workers."""
    workers = stage.service.workers()
    for worker in workers:
        worker.stop(signal.SIGKILL)
    stage.start_workers(len(workers))
    return [worker.name for worker in workers]


def freeze_worker(stage: Stage) -> list[str]:
    """Let a worker sleep until others have its items, and wake it up to end them as well."""
    worker = stage.busy_worker()
    stage.service.freeze(worker)
    time.sleep(stage.service.settings.lease_seconds + 1.5)
    worker.process.send_signal(signal.SIGCONT)
    return [worker.name]


def expire_lease(stage: Stage) -> list[str]:
    """Let a lease end too early, as if the database's clock had jumped.

    Its worker learns of it only when it wants to renew it, and works on until then.
    """
    stage.service.in_database(_expire_lease)
    time.sleep(stage.service.settings.lease_seconds / 2)
    return [worker.name for worker in stage.service.workers()]


def _expire_lease(session: Session) -> None:
    newest = select(LeaseRow.id).order_by(LeaseRow.expires_at.desc(), LeaseRow.id).limit(1)
    session.execute(
        update(LeaseRow)
        .where(LeaseRow.id == newest.scalar_subquery())
        .values(expires_at=now())
        .execution_options(synchronize_session=False)
    )


def starved(worker: str, log: str, lease: float) -> Iterator[Event]:
    """Yield where a worker says that it lost a lease which it could not renew in time.

    On a loaded machine its writes wait, and its lease runs out while it works: that may cost it
    what it holds. A lease that was lost sooner than it runs out is none of these.
    """
    for said, ago in LOST.findall(log):
        at = datetime.fromisoformat(said).timestamp()
        if float(ago) >= lease:
            yield Event("starved", at - float(ago), at, (worker,))


def stop_worker(stage: Stage) -> list[str]:
    """Deploy: stop a worker and start another. It costs nothing."""
    worker = stage.busy_worker()
    stage.exits[worker.name] = worker.stop()
    stage.start_workers()
    return []


def kill_api(stage: Stage) -> list[str]:
    """Kill the API, whatever it is just answering."""
    time.sleep(stage.random.uniform(0, 0.3))
    stage.api().stop(signal.SIGKILL)
    stage.service.start("api")
    return []


def lose_redis(stage: Stage) -> list[str]:
    """Kill Redis; it comes back empty after a while."""
    stage.redis.stop(signal.SIGKILL)
    time.sleep(stage.random.uniform(0.5, 3))
    stage.redis.start()
    return []


def lose_redis_for_long(stage: Stage) -> list[str]:
    """Kill Redis; it comes back empty when nobody expects it any more."""
    stage.redis.stop(signal.SIGKILL)
    time.sleep(30)
    stage.redis.start()
    return []


def wipe_redis(stage: Stage) -> list[str]:
    """Forget all that Redis holds."""
    with Redis.from_url(stage.redis.url) as redis:
        redis.flushall()
    return []


def freeze_redis(stage: Stage) -> list[str]:
    """Let Redis take questions and give no answers for a while."""
    stage.redis.freeze()
    time.sleep(stage.random.uniform(0.5, 3))
    stage.redis.thaw()
    return []


def restart_postgres(stage: Stage) -> list[str]:
    """Restart PostgreSQL as an administrator does: open transactions are rolled back."""
    return _restart_postgres(stage, signal.SIGINT)


def crash_postgres(stage: Stage) -> list[str]:
    """Restart PostgreSQL at once; it starts with its recovery."""
    return _restart_postgres(stage, signal.SIGQUIT)


def _restart_postgres(stage: Stage, how: signal.Signals) -> list[str]:
    assert stage.postgres
    stage.postgres.stop(how)
    time.sleep(stage.random.uniform(0, 1))
    stage.postgres.start()
    return [worker.name for worker in stage.service.workers()]


ANYWHERE: list[Fault] = [
    kill_worker,
    kill_all_workers,
    freeze_worker,
    expire_lease,
    stop_worker,
    kill_api,
    lose_redis,
    wipe_redis,
    freeze_redis,
]
ON_POSTGRES: list[Fault] = [restart_postgres, crash_postgres]
IN_LONG_CAMPAIGNS: list[Fault] = [lose_redis_for_long]


def draw(random: Random, items: int, *, postgres: bool, count: int) -> list[tuple[int, Fault]]:
    """Return `count` faults, each with the number of calls at which it is due, in order.

    No fault comes again before all others have had their turn. One of six is due at once, while
    the input is uploaded, submitted or checked.
    """
    kinds = [
        *ANYWHERE,
        *(ON_POSTGRES if postgres else []),
        *(IN_LONG_CAMPAIGNS * (items >= 10_000)),
    ]
    faults = [fault for _ in range(count) for fault in random.sample(kinds, len(kinds))][:count]
    points = sorted(random.choice([0, *[random.randrange(items * 9 // 10)] * 5]) for _ in faults)
    return list(zip(points, faults, strict=True))
