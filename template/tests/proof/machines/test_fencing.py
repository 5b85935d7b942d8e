"""Each fence of the store by itself, in the shortest story that needs it.

The books of the state machines tell what must come of it; at the end of each story, those that come
after all these workers bring everything to its end.
"""

from collections.abc import Callable

from sqlalchemy import update
from sqlalchemy.orm import Session

from engine.batches import items, lanes
from engine.sql.statements import now
from engine.sql.tables import BatchLaneRow
from tests.proof.machines.batch_machine import TERMS, BatchMachine
from tests.proof.machines.features import features
from tests.proof.machines.job_machine import JobMachine

LAST, BEFORE = 0, 1
"""Which claim is written late."""


class Story:
    """A machine whose books are checked after each step."""

    def __init__(self, machine: BatchMachine | JobMachine) -> None:
        self.machine = machine

    def __getattr__(self, name: str) -> Callable[..., None]:
        def step(*args: object, **kwargs: object) -> None:
            getattr(self.machine, name)(*args, **kwargs)
            self.machine.the_books_are_right()

        return step


Told = Callable[[Story], None]


def on_a_batch(tell: Told) -> Callable[[], None]:
    """Begin with a batch of three lines, opened by a worker that has claimed none yet."""

    def test() -> None:
        story = Story(BatchMachine())
        story.open(lines=3)
        tell(story)
        story.machine.teardown()

    return test


def on_a_job(tell: Told) -> Callable[[], None]:
    """Begin with a job that a worker has claimed."""

    def test() -> None:
        with features():
            story = Story(JobMachine())
            story.begin()
            tell(story)
            story.machine.teardown()

    return test


def claim(batch: Story) -> None:
    batch.work(0, 1, [])


def try_twice(batch: Story) -> None:
    """Let what is in flight wait for longer than a lease."""
    for _ in range(2):
        batch.work(0, 3, [])
        batch.work(0, 3, ["pending", "pending", "pending"])


def hold_as_before(session: Session) -> None:
    session.execute(update(BatchLaneRow).values(generation=1, heartbeat_at=now()))


def cancel_unopened(batch: Story, lines: int) -> None:
    batch.submit(lines, 1000)
    batch.claim_lanes()
    for _ in range(2):
        batch.work(1, 1, [])
    batch.cancel(1)
    batch.work(1, 1, [])


@on_a_batch
def test_an_earlier_attempt_of_the_same_worker_is_refused(batch: Story) -> None:
    batch.work(0, 3, [])
    batch.work(0, 3, ["pending", "pending", "pending"])
    batch.wait(1, sweeping=False)
    batch.work(0, 3, [])
    batch.record_late(3, "succeeded")


@on_a_batch
def test_an_outcome_of_an_item_that_was_put_back_is_refused(batch: Story) -> None:
    claim(batch)
    batch.freeze(0, sweeping=True)
    batch.record_late(LAST, "succeeded")


@on_a_batch
def test_an_outcome_of_another_workers_item_is_refused(batch: Story) -> None:
    claim(batch)
    batch.freeze(0, sweeping=True)
    batch.claim_lanes()
    batch.work(-1, 3, [])
    batch.record_late(3, "succeeded")


@on_a_batch
def test_an_outcome_is_recorded_once(batch: Story) -> None:
    claim(batch)
    batch.record_late(LAST, "succeeded")
    batch.record_late(LAST, "failed")


@on_a_batch
def test_a_living_worker_keeps_its_items(batch: Story) -> None:
    claim(batch)
    batch.wait(3, sweeping=True)


@on_a_batch
def test_a_poisonous_item_is_counted_as_failed(batch: Story) -> None:
    batch.work(0, 3, [])
    for _ in range(2):
        batch.end(-1, gracefully=False)
        batch.wait(3, sweeping=True)
        batch.claim_lanes()
        batch.end(-1, gracefully=True)  # finds that only what runs alone is left
        batch.claim_lanes()
        batch.work(-1, 1, [])


@on_a_batch
def test_a_graceful_stop_costs_nothing(batch: Story) -> None:
    claim(batch)
    batch.end(0, gracefully=True)


@on_a_batch
def test_an_expired_lease_is_not_revived(batch: Story) -> None:
    claim(batch)
    batch.freeze(0, sweeping=False)
    batch.wait(1, sweeping=True)


@on_a_batch
def test_a_batch_that_is_cancelled_between_two_tries_is_looked_at(batch: Story) -> None:
    try_twice(batch)
    batch.end(0, gracefully=True)
    batch.cancel(0)


@on_a_batch
def test_a_batch_that_expires_between_two_tries_is_looked_at(batch: Story) -> None:
    try_twice(batch)
    batch.end(0, gracefully=True)
    batch.expire()
    batch.wait(1, sweeping=True)


@on_a_batch
def test_a_free_lane_is_looked_at_when_items_of_a_dead_worker_are_put_back(batch: Story) -> None:
    batch.claim_lanes()
    batch.work(0, 3, [])
    batch.end(0, gracefully=False)
    batch.wait(3, sweeping=False)
    batch.end(0, gracefully=True)
    batch.wait(1, sweeping=True)


@on_a_batch
def test_items_in_flight_elsewhere_are_looked_for_before_the_next_try(batch: Story) -> None:
    batch.claim_lanes()
    batch.work(1, 1, [])
    try_twice(batch)
    batch.end(0, gracefully=True)
    batch.freeze(0, sweeping=False)
    batch.claim_lanes()
    batch.end(-1, gracefully=True)
    batch.end(0, gracefully=True)  # which gives an item back for which another one had to wait


@on_a_batch
def test_the_quarantine_waits_for_items_in_flight_elsewhere(batch: Story) -> None:
    batch.claim_lanes()
    batch.work(0, 1, [])
    batch.work(1, 1, [])
    batch.end(0, gracefully=False)
    batch.wait(3, sweeping=True)
    batch.claim_lanes()
    batch.work(1, 3, [])
    batch.work(1, 1, ["succeeded"])
    batch.end(1, gracefully=True)
    batch.claim_lanes()
    batch.work(-1, 1, ["succeeded"])


def test_a_lane_that_a_worker_of_the_release_before_holds_is_left_alone() -> None:
    """It tells of its life, but not that the lane is not ready any more."""
    machine = BatchMachine()
    machine.submit(1, 1000)
    machine.store.write(hold_as_before)
    assert machine.store.write(lanes.claim_lane, "lease_a", TERMS) is None


@on_a_batch
def test_a_living_worker_keeps_its_lane(batch: Story) -> None:
    batch.wait(3, sweeping=False)
    batch.claim_lanes()


@on_a_batch
def test_a_worker_that_has_lost_a_lane_does_not_free_it(batch: Story) -> None:
    batch.freeze(0, sweeping=True)
    batch.claim_lanes()
    batch.end(0, gracefully=True)
    batch.claim_lanes()


@on_a_batch
def test_a_worker_that_has_lost_a_lane_takes_no_more_lines_in(batch: Story) -> None:
    batch.submit(2, 1000)
    batch.claim_lanes()
    batch.work(1, 1, [])
    batch.freeze(1, sweeping=False)
    batch.claim_lanes()
    for _ in range(2):
        batch.work(-1, 1, [])
    batch.work(1, 1, [])


@on_a_batch
def test_a_pause_begins_nothing(batch: Story) -> None:
    batch.pause(0)
    claim(batch)
    batch.pause(0)


@on_a_batch
def test_no_line_runs_before_all_are_checked(batch: Story) -> None:
    batch.submit(2, 1000)
    batch.claim_lanes()
    for _ in range(2):
        batch.work(1, 1, [])
    machine = batch.machine
    assert isinstance(machine, BatchMachine)
    assert machine.store.write(items.claim_items, machine.drains[1].hold, 1) == []


@on_a_batch
def test_a_batch_waits_for_its_items(batch: Story) -> None:
    batch.claim_lanes()
    batch.work(0, 3, [])
    batch.work(1, 1, [])


@on_a_batch
def test_an_item_that_waits_is_not_cut_off(batch: Story) -> None:
    for _ in range(2):
        batch.work(0, 3, [])
        batch.work(0, 3, ["pending", "pending", "pending"])
    batch.work(0, 3, [])


@on_a_batch
def test_a_cancelled_batch_is_cut_off(batch: Story) -> None:
    claim(batch)
    batch.cancel(0)
    batch.work(0, 1, ["succeeded"])
    batch.work(0, 1, [])
    batch.finish(0)
    batch.finish(0)
    batch.cancel(0)


@on_a_batch
def test_a_batch_that_was_cancelled_before_it_was_open_stays_closed(batch: Story) -> None:
    cancel_unopened(batch, lines=2)


@on_a_batch
def test_a_batch_that_was_cancelled_before_it_was_refused_is_cancelled(batch: Story) -> None:
    cancel_unopened(batch, lines=0)


@on_a_job
def test_another_workers_job_is_left_alone(job: Story) -> None:
    job.wait(11)
    job.sweep()
    job.claim(scheduled=False)
    job.report(BEFORE)
    job.record_late(BEFORE, "succeeded")


@on_a_job
def test_a_job_is_recorded_once(job: Story) -> None:
    job.record(0, "succeeded")
    job.record_late(LAST, "failed")


@on_a_job
def test_a_living_worker_keeps_its_job(job: Story) -> None:
    job.wait(4)
    job.sweep()


@on_a_job
def test_an_expired_lease_on_a_job_is_not_revived(job: Story) -> None:
    job.wait(11)
    job.renew(0)
    job.sweep()


@on_a_job
def test_a_graceful_stop_costs_a_job_nothing(job: Story) -> None:
    job.record(0, "stopped")


@on_a_job
def test_a_cancelled_job_that_fails_is_cancelled(job: Story) -> None:
    job.cancel(0)
    job.record(0, "failed")


@on_a_job
def test_a_cancelled_job_is_not_tried_again(job: Story) -> None:
    job.cancel(0)
    job.record(0, "again")


@on_a_job
def test_a_cancelled_job_of_a_dead_worker_is_not_tried_again(job: Story) -> None:
    job.cancel(0)
    job.crash(0)
    job.wait(11)
    job.sweep()


@on_a_job
def test_a_job_ends_when_it_has_taken_enough_workers_down(job: Story) -> None:
    for _ in range(2):
        job.crash(0)
        job.wait(11)
        job.sweep()
        job.claim(scheduled=False)


@on_a_job
def test_a_job_may_fail_again_after_a_retry(job: Story) -> None:
    job.record(0, "failed")
    job.retry(0)
    job.claim(scheduled=False)
    job.retry(0)
    job.record(0, "failed")


@on_a_job
def test_a_job_that_has_succeeded_is_left_alone(job: Story) -> None:
    job.record(0, "succeeded")
    job.cancel(0)
    job.retry(0)


@on_a_job
def test_a_tick_starts_one_job(job: Story) -> None:
    job.wait(61)
    job.start_due()
    job.start_due()
