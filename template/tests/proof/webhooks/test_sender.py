"""A worker that is killed while it tells a webhook."""

import signal
from pathlib import Path
from typing import Any

from tests.owing import owe, owed
from tests.receiver import Receiver
from tests.service import eventually, service


def test_a_worker_killed_while_it_sends_is_followed_by_another(
    redis_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    settings: dict[str, Any] = {
        "lease_seconds": 1,
        "sweep_seconds": 0.2,
        "webhook_timeout": 2,
        "webhook_private_addresses": True,
    }
    with service(tmp_path, redis_url, **settings) as running:
        webhook = running.in_database(owe, receiver.url)
        receiver.open.clear()
        killed = running.start("worker")
        eventually(lambda: len(receiver.requests) == 1)
        killed.stop(signal.SIGKILL)
        receiver.open.set()
        running.start("worker")
        eventually(lambda: running.in_database(owed)[0].status == "delivered")
    first, second = receiver.requests
    assert first.verified(webhook.signing_secret) == second.verified(webhook.signing_secret)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
