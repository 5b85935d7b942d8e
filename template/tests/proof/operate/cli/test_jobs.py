"""`app jobs`, on both databases: operators see and change the batches and jobs of every caller."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from engine.errors import Conflict, InvalidRequest, NotFound
from engine.sql.statements import now
from engine.sql.tables import BatchLaneRow, CallerRow, ItemRow
from engine.work import leases
from tests.cli.command import in_database, run, told, told_json
from tests.proof.machines import past
from tests.service import free_port

NARROWER: dict[tuple[str, ...], list[int]] = {
    ("--status", "running"): [2],
    ("--name", "retention"): [3],
    ("--name", "/v1/chat/completions"): [1],
    ("--caller", "ada"): [0, 1],
    ("--caller", "nobody"): [],
    ("--limit", "3"): [0, 1, 2],
    ("--status", "failed", "--caller", "ada"): [0],
}


@pytest.fixture(autouse=True)
def _database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", "none")
    in_database(past.add_caller)


def add_other_caller(session: Session) -> str:
    session.add(CallerRow(id="caller_b", name="bob", flags=[], created_at=0.0))
    return "caller_b"


class TestList:
    @pytest.fixture
    def newest_first(self) -> list[str]:
        """The ids of a batch and three jobs of two callers and of nobody."""
        bob = in_database(add_other_caller)
        return [
            in_database(past.add_job, 1, "failed", error_code="no", error_message="It\nbroke."),
            in_database(past.add_batch, 2, "in_progress", items=10, completed=7, failed=1),
            in_database(past.add_job, 3, "running", caller_id=bob, progress={"pages": 4}),
            in_database(past.add_job, 4, "succeeded", caller_id=None, name="retention"),
        ]

    def test_the_list_has_batches_and_jobs_of_all_callers_newest_first(
        self, newest_first: list[str]
    ) -> None:
        header, *rows = told("jobs", "list")
        assert header == "ID NAME CALLER STATUS PROGRESS CREATED ERROR"
        assert [row.split()[0] for row in rows] == newest_first
        assert [row.split()[2] for row in rows] == ["ada", "ada", "bob", "-"]

    def test_each_row_says_how_far_it_is_and_what_went_wrong(self, newest_first: list[str]) -> None:
        _, failed, batch, running, _ = told("jobs", "list")
        assert failed.endswith("It broke.")
        assert "/v1/chat/completions ada in_progress 8/10, 1 failed" in batch
        assert "report bob running pages=4" in running

    def test_the_list_can_be_narrowed(self, newest_first: list[str]) -> None:
        for options, places in NARROWER.items():
            listed = [each["id"] for each in told_json("jobs", "list", *options)]
            assert listed == [newest_first[place] for place in places], options

    def test_an_unknown_status_is_told_with_the_known_ones(self) -> None:
        with pytest.raises(InvalidRequest, match=r"no status lost.*queued"):
            run("jobs", "list", "--status", "lost")


class TestShow:
    def test_a_batch_shows_the_states_of_its_items_and_what_failed(self) -> None:
        batch_id = in_database(past.add_batch, 1, "in_progress", items=3)
        in_database(fail_second_item, batch_id)
        told_of = "\n".join(told("jobs", "show", batch_id))
        assert "request_id req_1" in told_of
        assert "failed 1 3 3 1" in told_of
        assert "pending 2 0 0 0" in told_of
        assert "2 item-1 failed 3 server_error It broke." in told_of

    def test_a_held_lane_says_when_its_worker_was_heard_of(self) -> None:
        batch_id = in_database(past.add_batch, 1, "in_progress")
        in_database(hold_first_lane, batch_id)
        lanes = told_json("jobs", "show", batch_id)["lanes"]
        assert [lane["silent"] is None for lane in lanes] == [False, True]

    def test_a_job_shows_who_holds_it_and_until_when(self) -> None:
        job_id = in_database(past.add_job, 1, "running", owner="lease_1", attempt=2, crashes=1)
        in_database(leases.grant_lease, "lease_1", 60.0)
        shown = told_json("jobs", "show", job_id)
        assert (shown["lease"], shown["caller"], shown["crashes"]) == ("lease_1", "ada", 1)
        assert 0 < shown["lease_left"] <= 60
        told_of = told("jobs", "show", job_id)
        assert "lease lease_1" in told_of
        assert "attempt 2" in told_of

    def test_a_failed_job_shows_its_error(self) -> None:
        job_id = in_database(past.add_job, 1, "failed", error_code="no", error_message="It broke.")
        assert "error no: It broke." in told("jobs", "show", job_id)

    @pytest.mark.parametrize("subject_id", ["batch_of_nobody", "job_of_nobody", "nonsense"])
    def test_an_unknown_id_says_where_to_look(self, subject_id: str) -> None:
        with pytest.raises(NotFound, match="`app jobs list` shows them"):
            run("jobs", "show", subject_id)


class TestCancel:
    @pytest.mark.parametrize(
        ("status", "afterwards"), [("queued", "cancelled"), ("running", "cancelling")]
    )
    def test_a_job_ends_at_once_or_is_asked_to(self, status: str, afterwards: str) -> None:
        job_id = in_database(past.add_job, 1, status)
        assert told("jobs", "cancel", job_id) == [f"{job_id} is {afterwards}."]
        assert told_json("jobs", "show", job_id)["job"]["status"] == afterwards

    def test_a_batch_is_asked_to_end(self) -> None:
        batch_id = in_database(past.add_batch, 1, "in_progress")
        assert told("jobs", "cancel", batch_id) == [f"{batch_id} is cancelling."]

    def test_a_finished_job_is_told(self) -> None:
        with pytest.raises(Conflict, match="is succeeded already"):
            run("jobs", "cancel", in_database(past.add_job, 1, "succeeded"))
        with pytest.raises(Conflict, match="is completed already"):
            run("jobs", "cancel", in_database(past.add_batch, 1))


class TestRetry:
    def test_a_failed_job_waits_again_with_new_attempts_and_time(self) -> None:
        job_id = in_database(past.add_job, 9, "failed", name="retention", errors=3, crashes=5)
        assert told("jobs", "retry", job_id) == [f"{job_id} is queued."]
        shown = told_json("jobs", "show", job_id)
        assert (shown["errors"], shown["crashes"]) == (0, 0)
        assert shown["job"]["deadline_at"] > past.ago(0)

    def test_a_retried_job_waits_from_now_on(self) -> None:
        job_id = in_database(past.add_job, 9, "failed", name="retention")
        run("jobs", "retry", job_id)
        [job] = [each for each in told_json("queue", "status")["depths"] if "job" in each["work"]]
        assert job["oldest"] < past.DAY

    def test_a_job_without_need_of_a_retry_is_told(self) -> None:
        with pytest.raises(Conflict, match="only one that has failed"):
            run("jobs", "retry", in_database(past.add_job, 1, "running"))

    def test_a_batchs_failed_items_are_tried_as_a_new_batch(self) -> None:
        batch_id = in_database(past.add_batch, 1, items=3)
        in_database(fail_second_item, batch_id)
        (said,) = told("jobs", "retry", batch_id)
        new_id, rest = said.split(maxsplit=1)
        assert rest == "is in_progress."
        batch = told_json("jobs", "show", new_id)["batch"]
        assert (batch["retry_of"], batch["request_counts"]["total"]) == (batch_id, 1)

    def test_a_retry_does_not_need_redis(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
        job_id = in_database(past.add_job, 1, "failed", name="retention")
        assert told("jobs", "retry", job_id) == [f"{job_id} is queued."]


def fail_second_item(session: Session, batch_id: str) -> None:
    failed = {"error_code": "server_error", "error_message": "It\nbroke."}
    session.execute(
        update(ItemRow)
        .where(ItemRow.batch_id == batch_id, ItemRow.seq == 1)
        .values(status="failed", attempt=3, errors=3, crashes=1, **failed)
    )


def hold_first_lane(session: Session, batch_id: str) -> None:
    first = BatchLaneRow.batch_id == batch_id, BatchLaneRow.lane == 0
    session.execute(update(BatchLaneRow).where(*first).values(heartbeat_at=now()))
