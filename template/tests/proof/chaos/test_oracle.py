"""Each check of the oracle sees the violation that it is there for."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from sqlalchemy import update

from engine.sql.tables import BatchLaneRow, BatchRow, ItemRow
from engine.work.leases import LOST
from tests.crowd import fill
from tests.proof.chaos import oracle
from tests.proof.chaos.caller import Errand
from tests.proof.chaos.evidence import Evidence, Rows, awake, neglected
from tests.proof.chaos.faults import Event, starved
from tests.proof.chaos.model import Answer, Call, Fate, fate
from tests.proof.chaos.oracle import CHECKS, Check
from tests.proof.machines.store import START, Store

ITEM = "first-0"
SEED = next(seed for seed in count() if fate(seed, ITEM) is Fate.GOOD)
FAULT = Event("kill_worker", 10.0, 10.1, ("worker-1",))
FIRST = Call(ITEM, 1, "worker-1", 9.9, Answer.GOOD)
SECOND = Call(ITEM, 2, "worker-2", 12.5, Answer.GOOD)
NOTHING: Mapping[str, Any] = {}
LATE = replace(SECOND, at=20.0)


def evidence(changes: Mapping[str, Any] = NOTHING) -> Evidence:
    """A worker was killed with the only item in flight, and another one ran it again."""
    item: dict[str, Any] = {
        "id": 1,
        "batch_id": "b",
        "custom_id": ITEM,
        "status": "succeeded",
        "owner": None,
        "response": SECOND.text.encode(),
        "finished_at": 25.0,
        "errors": 0,
        "attempt": 2,
        "error_code": None,
        "error_message": None,
        "crashes": 1,
    }
    counts = {"total": 1, "completed": 1, "failed": 0, "prompt_tokens": 1}
    batch: dict[str, Any] = {"id": "b", "status": "completed", **counts}
    rest: dict[str, Any] = {"events": [FAULT], "calls": [FIRST, SECOND], "lines": [line(SECOND)]}
    counted = {"leases": 0, "counted": 1}
    for name, value in changes.items():
        kind, _, key = name.rpartition(".")
        {"item": item, "batch": batch, "rows": counted, "": rest}[kind][key] = value
    errand = Errand("first", 1, batch_id="b", lines=rest.pop("lines"))
    rows = Rows([BatchRow(**batch)], [ItemRow(**item)], **counted)
    return Evidence(SEED, rows, errands=[errand], **rest)


def line(call: Call) -> dict[str, Any]:
    response = {"status_code": 200, "body": call.text}
    return {"custom_id": ITEM, "response": response, "error": None}


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_campaign_passes(check: Check) -> None:
    assert list(check(evidence())) == []


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        (oracle.every_batch_has_ended, {"batch.status": "in_progress"}),
        (oracle.every_batch_has_ended, {"item.status": "running"}),
        (oracle.every_batch_has_ended, {"item.owner": "somebody"}),
        (oracle.every_batch_has_ended, {"item.finished_at": None}),
        (oracle.every_batch_has_ended, {"item.response": None}),
        (oracle.every_item_has_its_fate, {"item.status": "failed"}),
        (oracle.every_item_has_its_fate, {"item.errors": 1}),
        (oracle.every_item_has_its_fate, {"item.response": b"first-0 call-3"}),
        (oracle.every_item_has_its_fate, {"item.response": b"first-1 call-1"}),
        (oracle.every_answer_is_of_the_recorded_attempt, {"item.attempt": 1}),
        (oracle.every_answer_is_of_the_recorded_attempt, {"item.response": FIRST.text.encode()}),
        (oracle.counters_equal_the_rows, {"batch.completed": 2}),
        (oracle.counters_equal_the_rows, {"batch.failed": 1}),
        (oracle.counters_equal_the_rows, {"batch.total": 2}),
        (oracle.counters_equal_the_rows, {"batch.prompt_tokens": 2}),
        (oracle.counters_equal_the_rows, {"rows.counted": 2}),
        (oracle.callers_read_each_item_once, {"lines": []}),
        (oracle.callers_read_each_item_once, {"lines": [line(SECOND), line(SECOND)]}),
        (oracle.callers_read_each_item_once, {"lines": [line(FIRST)]}),
        (oracle.callers_read_each_item_once, {"lines": [{**line(SECOND), "response": None}]}),
        (oracle.callers_read_each_item_once, {"item.batch_id": "c", "batch.id": "c"}),
        (oracle.callers_read_each_item_once, {"complaints": ["no answer"]}),
        (oracle.only_faults_repeat_calls, {"events": []}),
        (oracle.only_faults_repeat_calls, {"events": [replace(FAULT, hit=("worker-2",))]}),
        (oracle.only_faults_repeat_calls, {"events": [replace(FAULT, began=100.0)]}),
        (oracle.only_faults_repeat_calls, {"in_flight": 0}),
        (oracle.lost_items_run_again_soon, {"calls": [FIRST, LATE]}),
        (oracle.nothing_is_left_over, {"deaths": ["worker-2 ended by itself"]}),
        (oracle.nothing_is_left_over, {"rows.leases": 1}),
        (oracle.nothing_is_left_over, {"postgres_log": "ERROR:  deadlock detected"}),
        (oracle.lanes_tell_of_their_work, {"lanes": ["lane 0 is looked at too late"]}),
    ],
)
def test_a_violation_is_seen(check: Check, changes: dict[str, Any]) -> None:
    assert list(check(evidence(changes)))


@pytest.mark.parametrize("fault", ["lose_redis", "lose_redis_for_long", "freeze_redis"])
def test_time_without_redis_does_not_count(fault: str) -> None:
    events = [FAULT, Event(fault, 11.0, 19.0, ())]
    assert not list(
        oracle.lost_items_run_again_soon(evidence({"calls": [FIRST, LATE], "events": events}))
    )


@pytest.mark.parametrize(("ago", "sound"), [(2.3, True), (1.7, False)])
def test_only_a_lease_that_was_not_renewed_in_time_may_cost_calls(ago: float, sound: bool) -> None:
    at = datetime.fromtimestamp(FIRST.at + 1, UTC).isoformat(timespec="milliseconds")
    log = f"{at} WARNING engine.work.leases [-] {LOST % ('batch_1', ago)}\n"
    found = evidence({"events": list(starved("worker-1", log, lease=2.0))})
    assert (not list(oracle.only_faults_repeat_calls(found))) is sound


def test_a_batch_that_was_made_twice_is_seen() -> None:
    sound = evidence()
    twice = replace(sound, rows=replace(sound.rows, items=sound.rows.items * 2))
    assert list(oracle.no_batch_was_made_twice(twice))


@pytest.mark.parametrize(
    "lane",
    [
        {"ready": False, "ready_at": None},
        {"ready": False, "ready_at": START + 3},
        {"heartbeat_at": START},
        {"caller_id": "another"},
    ],
)
def test_a_lane_that_says_something_else_than_a_count_is_seen(lane: dict[str, Any]) -> None:
    store = Store()
    store.write(fill, callers=1, batches=1, each=1)
    assert store.write(neglected, 2.0) == []
    store.write(lambda session: session.execute(update(BatchLaneRow).values(lane)))
    assert len(store.write(neglected, 2.0)) == 2


def test_a_lane_of_an_ended_batch_that_would_be_claimed_is_seen() -> None:
    store = Store()
    store.write(fill, callers=1, batches=1, each=0)
    store.write(lambda session: session.execute(update(BatchRow).values(status="completed")))
    assert len(store.write(awake)) == 2
