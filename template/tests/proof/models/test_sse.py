"""The cost of reading a stream."""

import time
from collections.abc import Iterable

from engine.models.sse import Events

MIB = 2**20
PIECE = 2**16


def pieces(size: int) -> list[bytes]:
    """Return one event of this size, as the network cuts it."""
    event = b'data: {"choices": [{"delta": {"content": "' + b"A" * size + b'"}}]}\n\n'
    return [event[at : at + PIECE] for at in range(0, len(event), PIECE)]


def seconds(wire: Iterable[bytes]) -> float:
    events = Events(1, usage_wanted=False)
    began = time.perf_counter()
    passed = [block for piece in wire for block in events.feed(piece)]
    took = time.perf_counter() - began
    assert len(passed) == 1
    return took


def test_an_event_of_twice_the_size_takes_about_twice_the_time() -> None:
    small, large = pieces(8 * MIB), pieces(16 * MIB)
    ratios = sorted(seconds(large) / seconds(small) for _ in range(9))
    assert ratios[4] < 3
