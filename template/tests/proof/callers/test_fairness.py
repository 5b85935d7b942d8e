"""Callers share the lanes: by counts of items, not by times.

Each story is told on SQLite and on PostgreSQL.
"""

from collections.abc import Callable

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine.batches import batches
from engine.callers import fairness, keys
from engine.errors import InvalidRequest, NotFound
from engine.jobs import jobs, runs
from engine.sql.database import Database
from engine.sql.tables import BatchLaneRow, CallerRow
from engine.worker import reaper
from tests.proof.machines.contest import CHUNK, Contest
from tests.proof.machines.features import counting
from tests.proof.machines.machine import store

Told = Callable[[Session], None]
STORIES: list[Told] = []


def story(tell: Told) -> Callable[[], None]:
    """Tell it on SQLite, in memory, where also the mutants are tried."""
    STORIES.append(tell)

    def test() -> None:
        store().empty()
        store().write(tell)

    return test


@story
def test_many_batches_of_one_caller_hardly_hold_another_up(session: Session) -> None:
    contest = Contest(session)
    big, small = contest.join("big"), contest.join("small")
    contest.submit(big, 200, number=20)
    contest.until(big, 100)
    before = contest.run[big]
    contest.submit(small, 10)
    contest.until(small, 10)
    assert contest.run[big] - before <= 6 * CHUNK


@story
def test_a_lane_whose_time_comes_while_all_are_at_work_is_waited_for(session: Session) -> None:
    contest = Contest(session, slots=1)
    big, small = contest.join("big"), contest.join("small")
    contest.submit(big, 200)
    contest.until(big, 10)
    of_small = BatchLaneRow.batch_id == contest.submit(small, 10)
    session.execute(update(BatchLaneRow).where(of_small).values(ready=False, ready_at=1.0))
    before = contest.run[big]
    reaper.recover_work(session, lease_seconds=1000, most_crashes=3)
    contest.until(small, 10)
    assert contest.run[big] - before <= 6 * CHUNK


@story
def test_shares_are_as_the_weights(session: Session) -> None:
    contest = Contest(session)
    heavy, light = contest.join("heavy", weight=3), contest.join("light")
    for caller in heavy, light:
        contest.submit(caller, 100, number=6)
    contest.until(heavy, 210)
    assert 50 <= contest.run[light] <= 100


@story
def test_an_item_of_more_tokens_counts_for_more(session: Session) -> None:
    contest = Contest(session)
    dear, cheap = contest.join("dear", tokens=4), contest.join("cheap")
    for caller in dear, cheap:
        contest.submit(caller, 200, number=4)
    contest.until(cheap, 240)
    assert 40 <= contest.run[dear] <= 90


@story
def test_a_higher_priority_goes_first(session: Session) -> None:
    contest = Contest(session)
    later, first = contest.join("later"), contest.join("first", priority=1)
    contest.submit(later, 100, number=6)
    contest.until(later, 50)
    before = contest.run[later]
    contest.submit(first, 50, number=4)
    contest.until(first, 200)
    assert contest.run[later] - before <= 4 * CHUNK


@story
def test_an_idle_caller_has_saved_up_nothing(session: Session) -> None:
    contest = Contest(session)
    busy, idle = contest.join("busy"), contest.join("idle")
    contest.submit(busy, 200, number=6)
    contest.until(busy, 300)
    contest.submit(idle, 200, number=4)
    shares = contest.run_meanwhile(busy, turns=12)
    assert abs(shares[busy] - shares[idle]) <= 4 * CHUNK


@story
def test_a_caller_who_comes_when_all_are_idle_has_saved_up_nothing(session: Session) -> None:
    contest = Contest(session)
    before, new = contest.join("before"), contest.join("new")
    contest.submit(before, 300)
    contest.go_on(20)
    assert contest.holders() == []
    contest.submit(new, 200, number=3)
    contest.submit(before, 200, number=3)
    shares = contest.run_meanwhile(before, turns=12)
    assert abs(shares[before] - shares[new]) <= 4 * CHUNK


@story
def test_a_waiting_caller_keeps_its_turn_when_it_asks_for_more(session: Session) -> None:
    contest = Contest(session)
    heavy, light = contest.join("heavy", weight=10), contest.join("light")
    for caller in heavy, light:
        contest.submit(caller, 500, number=4)
    for _ in range(20):
        contest.submit(heavy, 10)
        contest.go_on()
    assert contest.run[light] <= contest.run[heavy] / 5


@story
def test_one_caller_has_no_more_lanes_than_it_may(session: Session) -> None:
    contest = Contest(session, slots=6, lanes_per_caller=2)
    many, few = contest.join("many"), contest.join("few")
    contest.submit(many, 100, number=10)
    contest.go_on(3)
    assert contest.holders() == [many, many]
    contest.submit(few, 100)
    contest.go_on(2)
    assert sorted(contest.holders()) == sorted([many, many, few, few])


@story
def test_a_paused_caller_waits_and_has_saved_up_nothing(session: Session) -> None:
    contest = Contest(session)
    ada, bob = contest.join("ada"), contest.join("bob")
    for caller in ada, bob:
        contest.submit(caller, 200, number=6)
    contest.go_on(5)
    before = contest.run[ada]
    fairness.pause_caller(session, "ada")
    contest.until(bob, 300)
    assert (contest.run[ada], set(contest.holders())) == (before, {bob})
    fairness.resume_caller(session, "ada")
    shares = contest.run_meanwhile(ada, turns=12)
    assert abs(shares[ada] - shares[bob]) <= 4 * CHUNK


@story
def test_a_paused_caller_holds_no_newcomer_back(session: Session) -> None:
    contest = Contest(session)
    ada, bob, new = (contest.join(name) for name in ("ada", "bob", "new"))
    for caller in ada, bob:
        contest.submit(caller, 200, number=6)
    fairness.pause_caller(session, "ada")
    contest.until(bob, 300)
    contest.submit(new, 200, number=4)
    shares = contest.run_meanwhile(bob, turns=12)
    assert abs(shares[bob] - shares[new]) <= 4 * CHUNK


@story
def test_a_pause_of_all_lets_cancelled_batches_end(session: Session) -> None:
    contest = Contest(session)
    caller = contest.join("ada")
    waiting, cancelled = contest.submit(caller, 100, number=2), contest.submit(caller, 100)
    contest.go_on(2)
    before = contest.run[caller]
    fairness.pause_caller(session, None)
    batches.cancel_batch(session, caller, cancelled)
    contest.go_on(5)
    assert batches.get_batch(session, caller, cancelled).status == "cancelled"
    assert batches.get_batch(session, caller, waiting).status != "cancelled"
    assert (contest.run[caller], contest.holders()) == (before, [])
    fairness.resume_caller(session, None)
    contest.until(caller, before + 10)


@story
def test_a_caller_of_another_priority_begins_where_its_like_are(session: Session) -> None:
    contest = Contest(session)
    ada, bob = contest.join("ada"), contest.join("bob", priority=1)
    contest.submit(ada, 200)
    contest.until(ada, 200)
    contest.submit(bob, 100)
    contest.until(bob, 100)
    keys.create_key(session, "ada", priority=1)
    found = select(CallerRow.virtual_time).where(CallerRow.name == "ada")
    assert session.scalars(found).one() == 100


@story
def test_a_pause_begins_once(session: Session) -> None:
    Contest(session).join("ada")
    for caller in (None, "ada", None):
        fairness.pause_caller(session, caller)
    first, second = fairness.list_pauses(session)
    assert (first.caller, second.caller) == (None, "ada")
    assert 0 < first.since <= second.since
    fairness.resume_caller(session, None)
    assert [pause.caller for pause in fairness.list_pauses(session)] == ["ada"]
    with pytest.raises(NotFound, match="`app keys list` shows them"):
        fairness.pause_caller(session, "nobody")


@story
def test_a_weight_that_no_share_can_be_reckoned_with_is_refused(session: Session) -> None:
    for weight in (0.0, -1.0, 1e-9, float("inf"), float("nan")):
        with pytest.raises(InvalidRequest, match=r"from 0\.001 to 1000"):
            keys.create_key(session, "ada", weight=weight)


@story
def test_the_caller_with_the_fewest_running_jobs_goes_first(session: Session) -> None:
    contest = Contest(session)
    many, few = contest.join("many"), contest.join("few")

    def submit(caller: str) -> str:
        subject = counting.Counting(numbers=1)
        return jobs.submit_job(session, caller, counting.JOB, subject, request_id="req_a").id

    queued = [submit(many) for _ in range(3)]
    queued.append(submit(few))
    names = [counting.JOB.name]
    claimed = [runs.claim_job(session, f"lease_{n}", 60, names, scheduled=False) for n in range(4)]
    order = [queued.index(job.id) for job in claimed if job]
    assert order == [0, 3, 1, 2]


@pytest.mark.anyio
@pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)
async def test_on_postgresql(postgresql: Database, tell: Told) -> None:
    await postgresql.write(tell)
