"""At twice the load that the model can serve, most of what can be done is still done in time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.main import create_app
from tests.api.serving import serving
from tests.load import Load, arrivals
from tests.service import Service, service

SLOTS, CALL_SECONDS, PATIENCE, SECONDS = 5, 0.1, 0.5, 4.0
CAPACITY = SLOTS / CALL_SECONDS
MANY = 10**6


@pytest.fixture
def prepared(redis_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service with tables whose process is the test itself, on a model with few slots."""
    with service(
        tmp_path,
        redis_url,
        simulated_latency=CALL_SECONDS,
        simulated_parallel=SLOTS,
        requests_per_minute=MANY,
        calls_per_caller=MANY,
        log_level="ERROR",
    ) as ready:
        yield ready


@pytest.fixture
def key_of_many(prepared: Service) -> str:
    return prepared.new_key()


async def overloaded(prepared: Service, key: str, **limits: float) -> Load:
    """Return what came of twice as many calls as can be served, by a server with these limits."""
    app = create_app(prepared.settings.model_copy(update=limits))
    async with serving(app) as client:
        url = str(client.base_url).rstrip("/")
        return await arrivals(url, key, rate=2 * CAPACITY, seconds=SECONDS, patience=PATIENCE)


@pytest.mark.anyio
async def test_goodput_holds_where_a_queue_without_limits_serves_everybody_too_late(
    prepared: Service, key_of_many: str
) -> None:
    key = key_of_many
    without = await overloaded(prepared, key, max_requests=MANY)
    controlled = {"max_requests": 2 * SLOTS, "queue_target": 0.1, "queue_interval": 0.3}
    with_admission = await overloaded(prepared, key, **controlled)
    possible = CAPACITY * SECONDS
    assert with_admission.statuses[503] > 0
    assert with_admission.good > 0.6 * possible
    assert with_admission.good > 1.5 * without.good
