"""Wake-up calls from arq, which decides nothing: work is claimed from SQL."""

import asyncio
import logging
from typing import Any, cast

from arq.typing import WorkerCoroutine
from arq.worker import Worker, func

from engine.process.backoff import backoff
from engine.process.queue import WAKE, Kind, RedisQueue, deserialize, serialize
from engine.process.tasks import end_tasks
from engine.worker.pool import Pool

log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0

MOST_PASSED_ON = 3
"""Times that a call is passed on by workers that are full. Without it, one of two being full, an
eighth of the runs for waiting callers began 1.2 s late, at the other's next look."""


async def listen_for_wake_ups(queue: RedisQueue, all_pools: list[Pool]) -> None:
    """Run arq's worker, again after growing pauses when it breaks: arq ends when Redis does."""
    failures = 0
    while True:
        listening = arq_worker(queue, all_pools)
        started = asyncio.get_running_loop().time()
        try:
            await listening.async_run()
        except Exception as error:  # noqa: BLE001 -- after any error it is started again
            log.warning("no wake-up calls from Redis: %r", error)
        finally:
            await _abandon(listening)
        lasted = asyncio.get_running_loop().time() - started
        failures = 0 if lasted > LONGEST_PAUSE else failures + 1
        await asyncio.sleep(backoff(failures, 0.2, LONGEST_PAUSE))


class Listener(Worker):
    """arq's worker, with all its tasks in `tasks`.

    arq shields the end of a call from cancellation, in a task that it keeps nowhere. That task
    outlived its closed connection pool, opened another connection and left it open.
    """

    async def finish_job(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 -- arq's own
        """Note the task, and do as arq does."""
        self._note_task()
        await super().finish_job(*args, **options)

    async def finish_failed_job(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Note the task, and do as arq does."""
        self._note_task()
        await super().finish_failed_job(*args, **options)

    def _note_task(self) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101
        self.tasks[task.get_name()] = task


def arq_worker(queue: RedisQueue, all_pools: list[Pool]) -> Listener:
    """Return arq set to wake these pools up and to decide nothing."""

    async def wake(_context: dict[Any, Any], kind: Kind, passed_on: int = 0) -> None:
        woken = [pool for pool in all_pools if pool.kind == kind]
        for pool in woken:
            pool.wake()
        if passed_on < MOST_PASSED_ON and any(pool.full for pool in woken):
            await queue.wake(kind, passed_on + 1)

    return Listener(
        [func(cast("WorkerCoroutine", wake), name=WAKE, max_tries=1, keep_result=0, timeout=10)],
        redis_pool=queue.arq,
        queue_name=queue.name,
        # From the answer to a background response to its begin: 48 ms, 99th percentile 100 ms; with
        # 0.1 it was 51 and 127 ms. It costs an idle worker 1 % of a core.
        poll_delay=0.05,
        health_check_interval=5,
        handle_signals=False,
        retry_jobs=False,
        allow_abort_jobs=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
        log_results=False,
    )


async def _abandon(listening: Listener) -> None:
    main = [listening.main_task] if listening.main_task else []
    while left := [each for each in (*main, *listening.tasks.values()) if not each.done()]:
        await end_tasks(*left)  # during which a call may come to its end, in a new task
