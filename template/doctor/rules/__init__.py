"""The rules, one function each: `rule(case)` yields its findings."""

from collections.abc import Callable, Iterator

from doctor.case import Case
from doctor.findings import Finding
from doctor.rules import (
    cancellation,
    framework,
    loop,
    multitude,
    resources,
    state,
    tasks,
)

Check = Callable[[Case], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    loop.blocking_calls,
    loop.locks_across_awaits,
    loop.long_loops,
    loop.heavy_computing,
    cancellation.swallowed,
    cancellation.unshielded,
    cancellation.scopes_across_yields,
    tasks.forgotten,
    tasks.unreferenced,
    tasks.second_loops,
    state.app_state,
    state.attributes,
    state.globals_written,
    state.lazy,
    state.mutable_defaults,
    state.growing,
    resources.made_per_request,
    resources.unlimited_waits,
    multitude.unbounded,
    multitude.batches,
    framework.heavy_background,
    framework.trivial_dependencies,
    framework.lost_context,
    framework.long_handlers,
    framework.plain_streams,
    framework.wrapped_middleware,
    framework.held_connections,
)
