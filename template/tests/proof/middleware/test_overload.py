"""At twice the load that the model can serve, most of the calls that it can serve end in time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.main import create_app
from tests.api.serving import serving
from tests.load import Load, arrivals, in_turn
from tests.service import Service, service

SLOTS, CALL_SECONDS, SECONDS = 5, 0.2, 6.0
"""With calls of 0.1 s, clients and server wanted half a core for the load, and got less than that
beside other processes: not the model's slots were short then, but the processor."""

PATIENCE = 5
"""How many calls a slot works off before a caller hangs up."""

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
        tokens_per_minute=0,
        calls_per_caller=MANY,
        log_level="ERROR",
    ) as ready:
        yield ready


@pytest.fixture
def key_of_many(prepared: Service) -> str:
    return prepared.new_key()


async def possible(prepared: Service, key: str) -> float:
    """Return the answers a second that callers get on this machine who keep all slots busy."""
    async with serving(create_app(prepared.settings)) as client:
        url = str(client.base_url).rstrip("/")
        load = await in_turn(url, key, callers=2 * SLOTS, seconds=SECONDS / 2)
    return load.good / (SECONDS / 2)


async def overloaded(prepared: Service, key: str, rate: float, **limits: float) -> Load:
    """Return what came of twice as many calls as can be served, by a server with these limits."""
    app = create_app(prepared.settings.model_copy(update=limits))
    async with serving(app) as client:
        url = str(client.base_url).rstrip("/")
        patience = PATIENCE * SLOTS / rate
        return await arrivals(url, key, rate=2 * rate, seconds=SECONDS, patience=patience)


@pytest.mark.anyio
async def test_goodput_holds_where_a_queue_without_limits_serves_everybody_too_late(
    prepared: Service, key_of_many: str
) -> None:
    key = key_of_many
    rate = await possible(prepared, key)
    without = await overloaded(prepared, key, rate, max_requests=MANY)
    turn = SLOTS / rate
    controlled = {"max_requests": 2 * SLOTS, "queue_target": turn, "queue_interval": 3 * turn}
    with_admission = await overloaded(prepared, key, rate, **controlled)
    assert with_admission.statuses[503] > 0
    rate = min(rate, await possible(prepared, key))  # what else runs here may have begun meanwhile
    assert with_admission.good > 0.6 * rate * SECONDS
    assert with_admission.good > 1.5 * without.good
