"""The engine with one guard removed, and the test that must turn red then: see `mutation.py`.

A guard that another one covers goes together with it. The owner of an item that does not run is
None, so asking whether it is `running` and asking who owns it are one guard, written twice.
"""

from dataclasses import dataclass

BATCHES = "machines.test_machines.test_batches_outlive_their_workers"
JOBS = "machines.test_machines.test_jobs_outlive_their_workers"
RUNS = "agents.test_machine.test_runs_outlive_their_workers_in_a_few_examples"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change to a module of `engine`: a text that stands there once, and another for it."""

    test: str
    """A module of `tests.proof` and a function of it."""
    module: str
    text: str
    instead: str = ""


OWNER_OF_AN_ITEM = "_running().where(ItemRow.id.in_(item_ids), ItemRow.owner == hold.owner)"
ANY_ITEM = "select(ItemRow.id).where(ItemRow.id.in_(item_ids))"
ATTEMPT_AT_AN_ITEM = "held.get(outcome.item_id) == outcome.attempt"
ANY_ATTEMPT = "outcome.item_id in held"
LIFE_OF_AN_ITEMS_OWNER = ", ~leases.is_alive(ItemRow.owner)"
LIFE_OF_A_LEASE = ", LeaseRow.expires_at > now())\n        .values"
OWNER_OF_A_JOB = ", JobRow.owner == owner"
LIFE_OF_A_LANES_HOLDER = "BatchLaneRow.ready, ~_alive(terms), "
LIFE_OF_A_JOBS_OWNER = ", ~leases.is_alive(JobRow.owner)"

CONTROLS = (
    Mutant(
        "machines.test_fencing.test_an_outcome_is_recorded_once",
        "batches.items",
        "def claim_items(",
        "def claim_items(",
    ),
    Mutant(
        "machines.test_fencing.test_a_job_is_recorded_once",
        "jobs.runs",
        "def claim_job(",
        "def claim_job(",
    ),
    Mutant(RUNS, "agents.steps", "def keep_plan(", "def keep_plan("),
)
"""Nothing is removed here, so nothing may turn red."""

SLEEPLESS = (
    ("batches.readiness", "_set(session, *alone, *SLEEPING, ready=True, ready_at=now())", "pass"),
    ("batches.readiness", "return later if runs else moment", "return None if runs else moment"),
    (
        "batches.readiness",
        "return min(due, later) if runs else due",
        "return later if runs else None",
    ),
    ("batches.readiness", "_set(session, *due, most=MOST, ready=True)", "pass"),
    ("batches.readiness", "SLEEPING = ~HELD, ", "SLEEPING = "),
    ("batches.lanes", "ready_at = False, now() + terms.lease_seconds", "ready_at = False, None"),
    ("batches.lanes", "ready=False, ready_at=now() + seconds", "ready=True, ready_at=now()"),
    ("batches.finalise", "    readiness.close_lanes(session, batch.id)\n", ""),
    ("batches.items", "    give_back(session, hold)\n    lanes", "    lanes"),
)
"""Each place that says when a lane is looked at, without that."""

LATE = (
    ("responses.event_log", "    require_run(session, group.job_id, group.owner)\n", ""),
    ("responses.background", "    if row.status not in FINAL:\n", "    if True:\n"),
    ("jobs.runs", ', JobRow.status == "running")', ")"),
    ("agents.steps", "group.response_id, steps)", "group.response_id, steps[:1])"),
    ("agents.steps", 'if row.status != "approval":', "if False:"),
    ("agents.steps", "return self.approval_id or self.id", "return self.id"),
)
"""Late writes, second answers, a plan that is not kept with its answer, and a key that changes."""

MUTANTS = (
    Mutant(BATCHES, "batches.items", OWNER_OF_AN_ITEM, ANY_ITEM),
    Mutant(BATCHES, "batches.items", ATTEMPT_AT_AN_ITEM, ANY_ATTEMPT),
    Mutant(BATCHES, "worker.reaper", LIFE_OF_AN_ITEMS_OWNER),
    Mutant(BATCHES, "work.leases", LIFE_OF_A_LEASE, ")\n        .values"),
    *(Mutant(BATCHES, *where) for where in SLEEPLESS),
    *(Mutant(RUNS, *where) for where in LATE),
    Mutant(JOBS, "jobs.runs", OWNER_OF_A_JOB),
    Mutant(JOBS, "jobs.runs", LIFE_OF_A_JOBS_OWNER),
    *(
        Mutant(f"machines.test_fencing.{test}", module, text, instead)
        for test, module, text, instead in (
            (
                "test_an_outcome_of_an_item_that_was_put_back_is_refused",
                "batches.items",
                OWNER_OF_AN_ITEM,
                ANY_ITEM,
            ),
            ("test_an_outcome_is_recorded_once", "batches.items", OWNER_OF_AN_ITEM, ANY_ITEM),
            (
                "test_an_earlier_attempt_of_the_same_worker_is_refused",
                "batches.items",
                ATTEMPT_AT_AN_ITEM,
                ANY_ATTEMPT,
            ),
            ("test_a_living_worker_keeps_its_items", "worker.reaper", LIFE_OF_AN_ITEMS_OWNER, ""),
            (
                "test_an_expired_lease_is_not_revived",
                "work.leases",
                LIFE_OF_A_LEASE,
                ")\n        .values",
            ),
            (
                "test_an_expired_lease_on_a_job_is_not_revived",
                "work.leases",
                LIFE_OF_A_LEASE,
                ")\n        .values",
            ),
            ("test_another_workers_job_is_left_alone", "jobs.runs", OWNER_OF_A_JOB, ""),
            ("test_a_living_worker_keeps_its_job", "jobs.runs", LIFE_OF_A_JOBS_OWNER, ""),
            (
                "test_a_poisonous_item_is_counted_as_failed",
                "worker.reaper",
                "failed=BatchRow.failed + failed[batch_id]",
                "failed=BatchRow.failed",
            ),
            (
                "test_a_poisonous_item_is_counted_as_failed",
                "worker.reaper",
                "            crashes=ItemRow.crashes + 1,\n",
                "            crashes=ItemRow.crashes,\n",
            ),
            (
                "test_an_outcome_is_recorded_once",
                "batches.items",
                "completed=BatchRow.completed + completed",
                "completed=BatchRow.completed",
            ),
            (
                "test_a_graceful_stop_costs_nothing",
                "batches.items",
                '.values(status="pending", owner=None)',
                '.values(status="pending", owner=None, errors=ItemRow.errors + 1)',
            ),
            (
                "test_no_line_runs_before_all_are_checked",
                "batches.items",
                '        BatchRow.status == "in_progress",\n',
                "",
            ),
            (
                "test_an_outcome_of_another_workers_item_is_refused",
                "batches.items",
                '            ItemRow.status == sql_constant("pending"),\n',
                "",
            ),
            (
                "test_a_lane_that_a_worker_of_the_release_before_holds_is_left_alone",
                "batches.lanes",
                LIFE_OF_A_LANES_HOLDER,
                "BatchLaneRow.ready, ",
            ),
            (
                "test_a_living_worker_keeps_its_lane",
                "batches.lanes",
                "ready=False, ready_at=now() + seconds",
                "ready=False, ready_at=now()",
            ),
            (
                "test_a_batch_that_is_cancelled_between_two_tries_is_looked_at",
                "batches.batches",
                "        readiness.wake_lanes(session, [batch.id])\n",
                "",
            ),
            (
                "test_a_free_lane_is_looked_at_when_items_of_a_dead_worker_are_put_back",
                "worker.reaper",
                "    readiness.wake_lanes(session, {batch_id for batch_id, _ in rows})\n",
                "",
            ),
            (
                "test_a_batch_that_expires_between_two_tries_is_looked_at",
                "worker.reaper",
                "    readiness.wake_lanes(session, batch_ids)\n",
                "",
            ),
            (
                "test_the_quarantine_waits_for_items_in_flight_elsewhere",
                "batches.readiness",
                "        if not runs and _first_due(",
                "        if _first_due(",
            ),
            (
                "test_items_in_flight_elsewhere_are_looked_for_before_the_next_try",
                "batches.readiness",
                "return min(due, later) if runs else due",
                "return due",
            ),
            (
                "test_a_worker_that_has_lost_a_lane_does_not_free_it",
                "batches.lanes",
                "        BatchLaneRow.generation == hold.generation,\n",
                "",
            ),
            (
                "test_a_worker_that_has_lost_a_lane_takes_no_more_lines_in",
                "batches.lanes",
                "    if session.scalar(lane) is None:\n",
                "    if session.scalar(lane) is False:\n",
            ),
            (
                "test_a_cancelled_batch_is_cut_off",
                "batches.finalise",
                'outbox.enqueue_event(session, batch.caller_id, f"batch.{batch.status}", batch.id)',
                "",
            ),
            (
                "test_a_batch_waits_for_its_items",
                "batches.finalise",
                "    if readiness.has_open_items(session, batch_id):\n        return False\n",
                "",
            ),
            (
                "test_a_cancelled_batch_is_cut_off",
                "batches.finalise",
                '    if batch.status != "finalizing":\n        return\n',
                "",
            ),
            (
                "test_an_item_that_waits_is_not_cut_off",
                "batches.finalise",
                '    if batch.status not in ("cancelling", "finalizing"):\n        return\n',
                "",
            ),
            (
                "test_a_cancelled_batch_is_cut_off",
                "batches.batches",
                '    if batch.status in ("validating", "in_progress"):\n',
                "    if True:\n",
            ),
            (
                "test_a_batch_that_was_cancelled_before_it_was_open_stays_closed",
                "batches.batch_input",
                '    if batch.status != "validating":\n        return\n    batch.status = "in',
                '    batch.status = "in',
            ),
            (
                "test_a_batch_that_was_cancelled_before_it_was_refused_is_cancelled",
                "batches.batch_input",
                '    if batch.status != "validating":\n        return\n    batch.status = "failed',
                '    batch.status = "failed',
            ),
            (
                "test_a_job_ends_when_it_has_taken_enough_workers_down",
                "jobs.runs",
                "job.crashes, job.owner = job.crashes + 1, None",
                "job.owner = None",
            ),
            (
                "test_a_graceful_stop_costs_a_job_nothing",
                "jobs.runs",
                "int(outcome.error_code is not None and outcome.own)",
                "1",
            ),
            (
                "test_a_cancelled_job_that_fails_is_cancelled",
                "jobs.runs",
                'case((cancelled, "cancelled"), else_=outcome.status)',
                "outcome.status",
            ),
            (
                "test_a_cancelled_job_of_a_dead_worker_is_not_tried_again",
                "jobs.runs",
                '        if job.status == "cancelling":\n',
                "        if False:\n",
            ),
            (
                "test_a_job_ends_when_it_has_taken_enough_workers_down",
                "jobs.runs",
                "job.status, job.finished_at = status, now()\n    ended(session, job)\n",
                "job.status, job.finished_at = status, now()\n",
            ),
            (
                "test_a_job_may_fail_again_after_a_retry",
                "jobs.jobs",
                "    outbox.forget_events(session, row.id)\n",
                "",
            ),
            (
                "test_a_job_may_fail_again_after_a_retry",
                "jobs.jobs",
                "    if row.status not in FINAL or row.status",
                "    if row.status",
            ),
            (
                "test_a_job_that_has_succeeded_is_left_alone",
                "jobs.jobs",
                '    if row.status not in FINAL or row.status == "succeeded":\n',
                "    if row.status not in FINAL:\n",
            ),
            ("test_a_tick_starts_one_job", "worker.schedules", ", ScheduleRow.tick < tick)", ",)"),
        )
    ),
)
