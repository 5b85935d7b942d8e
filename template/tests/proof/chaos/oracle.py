"""What must hold after a campaign. Each check yields a sentence for each violation."""

from collections import Counter
from collections.abc import Callable, Iterator

from engine.sql.tables import ItemRow
from tests.proof.chaos.evidence import Evidence
from tests.proof.chaos.model import Answer, Call, Fate, fate

ENDS = {"completed": {"succeeded", "failed"}, "cancelled": {"succeeded", "failed", "cancelled"}}
"""What the items of a batch may end as, by what the batch ended as."""

EXPECTED = {
    Fate.GOOD: ("succeeded", None, Answer.GOOD),
    Fate.FLAKY: ("succeeded", None, Answer.GOOD),
    Fate.REFUSED: ("failed", "model_rejected", Answer.REFUSAL),
    Fate.HOPELESS: ("failed", "model_unavailable", Answer.FAILURE),
}
"""Status, error and last answer of an item, by its fate."""

HALTS = {
    *("kill_all_workers", "freeze_worker", "restart_postgres", "crash_postgres"),
    *("lose_redis", "lose_redis_for_long", "freeze_redis"),
}
"""Faults in which nobody may be there who could take over: without Redis batches get no slots."""

Check = Callable[[Evidence], Iterator[str]]


def no_batch_was_made_twice(evidence: Evidence) -> Iterator[str]:
    """A request that is sent again with its `Idempotency-Key` makes nothing more."""
    for item, rows in evidence.rows_of.items():
        if len(rows) > 1:
            yield f"{item} was submitted {len(rows)} times"


def every_batch_has_ended(evidence: Evidence) -> Iterator[str]:
    """Batches and all their items are in a final state, each once, and nobody holds them."""
    for batch in evidence.rows.batches:
        if batch.status not in ENDS:
            yield f"{batch.id} is {batch.status}"
    for row in evidence.rows.items:
        if row.status not in ENDS.get(evidence.batches[row.batch_id].status, ()):
            yield f"{row.custom_id} is {row.status}"
        elif row.owner or row.finished_at is None or (row.response is not None) != succeeded(row):
            yield f"{row.custom_id} is {row.status} and looks otherwise"


def every_item_has_its_fate(evidence: Evidence) -> Iterator[str]:
    """An item ends as the model would have it, and its own errors are all that count as such."""
    errors = {
        Fate.GOOD: {0},
        Fate.FLAKY: {0, 1},
        Fate.REFUSED: {1},
        Fate.HOPELESS: {evidence.attempts},
    }
    for row in ended(evidence):
        kind = fate(evidence.seed, row.custom_id)
        status, code, answer = EXPECTED[kind]
        if (row.status, row.error_code) != (status, code):
            yield f"{row.custom_id} is {kind} and ended as {row.status}, {row.error_code}"
        if row.errors not in errors[kind]:
            yield f"{row.custom_id} is {kind} and has {row.errors} errors"
        call = evidence.recorded(row)
        if call is None or call.answer is not answer:
            yield f"{row.custom_id} has an answer that the model never gave"


def every_answer_is_of_the_recorded_attempt(evidence: Evidence) -> Iterator[str]:
    """Each attempt makes one call at most, and the last call before the end is what is recorded.

    Only a worker that slept, or could not renew its lease, may call later than the attempt that
    follows its own.
    """
    sleeping = ("freeze_worker", "starved")
    sleepers = {w for event in evidence.events if event.fault in sleeping for w in event.hit}
    for item, rows in evidence.rows_of.items():
        calls = evidence.calls_of.get(item, [])
        if len(calls) > sum(row.attempt for row in rows):
            yield f"{item} has more calls than attempts"
    for row in ended(evidence):
        kept = evidence.recorded(row)
        for call in evidence.calls_of.get(row.custom_id, []):
            later = kept and row.finished_at and kept.at < call.at < row.finished_at
            if later and call.worker not in sleepers:
                yield f"{row.custom_id} has an answer of an earlier attempt than its last"


def counters_equal_the_rows(evidence: Evidence) -> Iterator[str]:
    """Counters of batches and of usage are what counting gives."""
    counts = Counter((row.batch_id, row.status) for row in evidence.rows.items)
    for batch in evidence.rows.batches:
        counted = counts[batch.id, "succeeded"], counts[batch.id, "failed"]
        if (batch.completed, batch.failed) != counted:
            yield f"{batch.id} counts {batch.completed}, {batch.failed} for {counted}"
        if (batch.prompt_tokens or 0) != counted[0]:  # the campaign's model counts one for each
            yield f"{batch.id} counts {batch.prompt_tokens} tokens for {counted[0]} answers"
        if batch.total != sum(n for (of, _), n in counts.items() if of == batch.id):
            yield f"{batch.id} has not the {batch.total} items that it counts"
    total = sum(map(succeeded, evidence.rows.items))
    if evidence.rows.counted != total:
        yield f"{evidence.rows.counted} answers are charged, {total} were given"


def callers_read_each_item_once(evidence: Evidence) -> Iterator[str]:
    """Both files together have each item once, with the answer that its row has."""
    yield from evidence.complaints
    for errand in evidence.errands:
        if errand.batch_id not in evidence.batches:
            yield f"the batch of {errand.label} is lost"
            continue
        if sorted(line["custom_id"] for line in errand.lines) != sorted(errand.ids()):
            yield f"{errand.label} does not have each item once in its files"
        rows = {r.custom_id: r for r in evidence.rows.items if r.batch_id == errand.batch_id}
        for line in errand.lines:
            row = rows.get(line["custom_id"])
            call = row and evidence.recorded(row)
            good = line["response"] is not None and line["response"]["status_code"] == 200
            if row is None or succeeded(row) != good:
                yield f"{line['custom_id']} is read as something else than its row"
            elif call and call.text not in str(line):
                yield f"{line} is read where the row has {call.text}"


def only_faults_repeat_calls(evidence: Evidence) -> Iterator[str]:
    """What a fault took from a worker is called again: no more than was in flight, nothing else."""
    repeated = 0
    for item, rows in evidence.rows_of.items():
        if any(row.status == "cancelled" for row in rows):
            continue
        spare = len(evidence.calls_of.get(item, [])) - needed(evidence, item) * len(rows)
        lost = evidence.lost(item)
        if spare > len(lost):
            yield f"{item} was called {spare} times too often, {len(lost)} of them for a fault"
        repeated += max(0, spare)
    hits = sum(event.rounds for event in evidence.events if event.hit)
    bound = hits * evidence.in_flight * len(evidence.rows.batches)
    if repeated > bound:
        yield f"{repeated} calls were repeated, but the faults explain only {bound}"


def lost_items_run_again_soon(evidence: Evidence) -> Iterator[str]:
    """What a killed worker had in flight is called again within three leases.

    Time in which a fault keeps all workers from work does not count.
    """
    for event in evidence.events:
        if "kill" not in event.fault:
            continue
        for item in evidence.calls_of:
            for call in evidence.spare(item):
                if call.worker in event.hit and call.answer is not Answer.FAILURE:
                    yield from _late(evidence, call, event.began)


def _late(evidence: Evidence, lost: Call, since: float) -> Iterator[str]:
    again = [call.at for call in evidence.calls_of[lost.item] if call.at > since]
    if not again:
        return
    faults = sum(
        max(0.0, min(event.ended, *again) - max(event.began, since))
        for event in evidence.events
        if event.fault in HALTS
    )
    waited = min(again) - since - faults
    if waited > 3 * evidence.lease:
        yield f"{lost.item} waited {waited / evidence.lease:.1f} leases for another worker"


def nothing_is_left_over(evidence: Evidence) -> Iterator[str]:
    """No program ended by itself, no lease lives on, and PostgreSQL saw no deadlock."""
    yield from evidence.deaths
    if evidence.rows.leases:
        yield f"{evidence.rows.leases} leases are held by nobody"
    if deadlocks := evidence.postgres_log.count("deadlock detected"):
        yield f"PostgreSQL found {deadlocks} deadlocks"


def lanes_tell_of_their_work(evidence: Evidence) -> Iterator[str]:
    """At each moment at which it was asked, each lane was looked at in time."""
    yield from evidence.lanes


CHECKS: list[Check] = [
    no_batch_was_made_twice,
    every_batch_has_ended,
    every_item_has_its_fate,
    every_answer_is_of_the_recorded_attempt,
    counters_equal_the_rows,
    callers_read_each_item_once,
    only_faults_repeat_calls,
    lost_items_run_again_soon,
    nothing_is_left_over,
    lanes_tell_of_their_work,
]


def ended(evidence: Evidence) -> Iterator[ItemRow]:
    """Yield the items that came to an end of their own."""
    yield from (row for row in evidence.rows.items if row.status in ("succeeded", "failed"))


def succeeded(row: ItemRow) -> bool:
    """Whether the item has its answer."""
    return row.status == "succeeded"


def needed(evidence: Evidence, item: str) -> int:
    """Return the calls that an item takes without any fault."""
    calls = {Fate.GOOD: 1, Fate.REFUSED: 1, Fate.FLAKY: 2, Fate.HOPELESS: evidence.attempts}
    return calls[fate(evidence.seed, item)]
