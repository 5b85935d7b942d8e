"""How long a new caller's batch of one line waits behind many large ones of one other caller.

`uv run python -m benchmarks.crowd --help` tells the sizes. A wait is from the batch's commit to its
answer, by the database's clock, in calls of the model.
"""

import argparse
import json
from itertools import count

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks.batches import SLOTS, at, finished, servers, serving
from benchmarks.upload import say
from engine.sql.tables import BatchRow, ItemRow
from tests.crowd import fill
from tests.lines import chat_body
from tests.service import Service, eventually

CALL_SECONDS = 0.5
NUMBERS = count()


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=50, help="batches of the other caller")
    parser.add_argument("--items", type=int, default=50_000, help="items of each")
    parser.add_argument("--callers", type=int, default=20, help="new callers, one after the other")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL instead of SQLite")
    options = parser.parse_args()
    slow = {"simulated_latency": CALL_SECONDS, "simulated_parallel": SLOTS}
    patient = {"database_timeout": 900.0}  # for all these rows in one transaction
    with (
        servers(postgres=options.postgres) as (redis, database),
        serving(redis, database, 1, **slow, **patient) as (ready, _),
    ):
        idle = sorted(waited(ready) for _ in range(options.callers))
        gather(ready, options.batches, options.items)
        crowded = sorted(waited(ready) for _ in range(options.callers))
    say("a batch of one line, in calls of 0.5 s", "p50", "p99", "p50 by idle")
    for name, waits in (("  idle", idle), (f"  behind {options.batches} batches", crowded)):
        half, most = at(waits, 0.5), at(waits, 0.99)
        say(name, f"{half:.2f}", f"{most:.2f}", f"{half / at(idle, 0.5):.2f}")


def gather(ready: Service, batches: int, items: int) -> None:
    """Let one caller have these batches, whose lines are checked."""
    body = json.dumps(chat_body("Hello", max_tokens=1))
    ready.in_database(fill, callers=1, batches=batches, each=items, body=body)
    begun = select(func.count()).where(ItemRow.status == "running")
    eventually(lambda: ready.in_database(lambda session: session.scalar(begun)))


def waited(ready: Service) -> float:
    """Return how many calls' time a new caller waited for the answer to one line."""
    with ready.client(ready.new_key(f"newcomer-{next(NUMBERS)}")) as client:
        batch_id = finished(client, 1).id

    def read(session: Session) -> float:
        answered = select(ItemRow.finished_at).where(ItemRow.batch_id == batch_id)
        return (session.scalar(answered) or 0.0) - session.get_one(BatchRow, batch_id).created_at

    return ready.in_database(read) / CALL_SECONDS


if __name__ == "__main__":
    main()
