"""Pauses for garbage are measured, and the objects of the start-up are looked at no more."""

import gc

from prometheus_client import REGISTRY

from engine.watch.saturation import frozen_heap, measured_garbage


def pauses() -> float:
    return REGISTRY.get_sample_value("app_gc_pause_seconds_count") or 0.0


def test_each_collection_is_counted() -> None:
    before = pauses()
    with measured_garbage() as garbage:
        gc.collect()
    garbage.tell()
    assert pauses() > before


def test_nothing_is_measured_after_the_end() -> None:
    callbacks = gc.callbacks[:]
    with measured_garbage():
        pass
    assert gc.callbacks == callbacks


def test_nothing_is_collected_before_the_heap_is_frozen() -> None:
    """A collection holds up each start for 90 ms, and finds next to nothing."""
    gc.disable()
    try:
        with measured_garbage() as garbage:
            before = pauses()
            with frozen_heap():
                garbage.tell()
    finally:
        gc.enable()
    assert pauses() == before


def test_the_heap_is_frozen_while_a_process_serves() -> None:
    with frozen_heap():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
