"""The engine with one rule of fairness removed, and the test that must turn red then."""

from tests.proof.machines.mutants import BATCHES, Mutant

UNFAIR = (
    Mutant(BATCHES, "callers.fairness", "virtual_time + cost / CallerRow.weight", "virtual_time"),
    Mutant(
        "machines.test_fencing.test_a_pause_begins_nothing",
        "batches.items",
        "        ~fairness.paused(BatchRow.caller_id),\n",
    ),
    *(
        Mutant(f"callers.test_fairness.{test}", module, text, instead)
        for test, module, text, instead in (
            (
                "test_many_batches_of_one_caller_hardly_hold_another_up",
                "batches.lanes",
                ".desc(), CallerRow.virtual_time)",
                ".desc(), CallerRow.created_at)",
            ),
            (
                "test_many_batches_of_one_caller_hardly_hold_another_up",
                "batches.lanes",
                "            return True\n",
                "            return False\n",
            ),
            (
                "test_many_batches_of_one_caller_hardly_hold_another_up",
                "callers.fairness",
                "virtual_time + cost / CallerRow.weight",
                "virtual_time",
            ),
            (
                "test_a_lane_whose_time_comes_while_all_are_at_work_is_waited_for",
                "worker.reaper",
                "    readiness.promote_lanes(session)\n",
                "",
            ),
            (
                "test_shares_are_as_the_weights",
                "callers.fairness",
                "cost / CallerRow.weight",
                "cost",
            ),
            (
                "test_an_item_of_more_tokens_counts_for_more",
                "batches.items",
                "max(1, used.prompt_tokens + used.completion_tokens)",
                "1",
            ),
            (
                "test_a_higher_priority_goes_first",
                "batches.lanes",
                "order_by(CallerRow.priority.desc(), ",
                "order_by(CallerRow.created_at, ",
            ),
            (
                "test_a_higher_priority_goes_first",
                "batches.lanes",
                "        CallerRow.priority > mine.priority,\n",
                "",
            ),
            (
                "test_an_idle_caller_has_saved_up_nothing",
                "batches.batches",
                "        fairness.catch_up(session, caller_id)\n",
                "        pass\n",
            ),
            (
                "test_a_caller_who_comes_when_all_are_idle_has_saved_up_nothing",
                "callers.fairness",
                "floor = session.scalar(highest) or 0.0",
                "floor = 0.0",
            ),
            (
                "test_a_waiting_caller_keeps_its_turn_when_it_asks_for_more",
                "batches.batches",
                "    if not lanes.is_waiting(session, caller_id):\n",
                "    if True:\n",
            ),
            (
                "test_one_caller_has_no_more_lanes_than_it_may",
                "batches.lanes",
                "CallerRow.id.not_in(sated), ",
                "",
            ),
            (
                "test_a_paused_caller_waits_and_has_saved_up_nothing",
                "batches.lanes",
                "not_in(sated), ~fairness.paused(CallerRow.id))",
                "not_in(sated))",
            ),
            (
                "test_a_paused_caller_waits_and_has_saved_up_nothing",
                "callers.fairness",
                "        catch_up(session, subject)\n",
                "        pass\n",
            ),
            (
                "test_a_paused_caller_holds_no_newcomer_back",
                "callers.fairness",
                "        CallerRow.id.not_in(select(PauseRow.subject)),\n",
                "",
            ),
            (
                "test_a_pause_of_all_lets_cancelled_batches_end",
                "batches.lanes",
                "BatchRow.status.in_(ENDING)",
                "false()",
            ),
            (
                "test_a_caller_of_another_priority_begins_where_its_like_are",
                "callers.fairness",
                ", CallerRow.priority == priority\n",
                ",\n",
            ),
            (
                "test_a_caller_of_another_priority_begins_where_its_like_are",
                "callers.keys",
                "priority, 0.0\n",
                "priority, caller.virtual_time\n",
            ),
            (
                "test_the_caller_with_the_fewest_running_jobs_goes_first",
                "jobs.runs",
                "func.coalesce(busy.c.running, 0), ",
                "",
            ),
        )
    ),
)
