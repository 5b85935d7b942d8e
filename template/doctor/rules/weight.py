"""How much a function does: next to nothing, or more than a request should wait for."""

import ast
import builtins

from doctor.calls import Call, Where
from doctor.case import Case, shown_node
from doctor.known import ASYNC_CLIENTS
from doctor.project import Function
from doctor.rules.loop import computes, waits_for

HEAVY = {"http", "model", "process", "sleep", "wait"}
SECOND = 1.0
SIMPLE = (str, bytes, int, float, bool, list, dict, set, tuple, frozenset)
SLOW_BUILTINS = (open, input, print, exec, eval, compile, __import__)


def weight(case: Case, function: Function) -> str | None:
    """Return the first call from here on that takes long, nothing where there is none."""
    seen = {function}
    pending = [function]
    while pending:
        current = pending.pop()
        for call in case.calls.of(current):
            if is_heavy(case, call, current):
                return shown_node(call.node)
        for target, where, _ in case.calls.onward(current, Where.LOOP):
            if target not in seen and where is Where.LOOP:
                seen.add(target)
                pending.append(target)
    return None


def is_trivial(case: Case, function: Function, depth: int = 0) -> bool:
    """Say whether a function surely neither waits nor computes: no loops, no unknown calls."""
    loops = (ast.For, ast.While, ast.With, ast.Yield, ast.YieldFrom, ast.ListComp, ast.GeneratorExp)
    if depth > 3 or any(isinstance(node, loops) for node in function.nodes):
        return False
    return all(_is_light(case, call, depth) for call in case.calls.of(function))


def is_heavy(case: Case, call: Call, function: Function) -> bool:
    """Say whether a call waits for another server, sleeps for a second, or computes for long."""
    if not call.awaited and (waits_for(call) in HEAVY or computes(call)):
        return True
    if call.thing.is_one_of("asyncio.sleep", "anyio.sleep"):
        return (pause(case, call, function) or 0.0) >= SECOND
    return call.awaited and call.thing.receiver is not None and call.thing.root.of(*ASYNC_CLIENTS)


def pause(case: Case, call: Call, function: Function) -> float | None:
    """Return the seconds that a call of `sleep` is given, nothing where they cannot be told."""
    seconds = case.calls.thing(call.node.args[0], function).value if call.node.args else None
    return seconds if isinstance(seconds, int | float) else None


def _is_light(case: Case, call: Call, depth: int) -> bool:
    thing = call.thing
    if thing.known and any(thing.value is each for each in vars(builtins).values()):
        return not any(thing.value is slow for slow in SLOW_BUILTINS)
    if thing.made is not None and issubclass(thing.made, Exception):
        return True
    if thing.receiver is not None and thing.receiver.type in SIMPLE:
        return True
    function = case.function(call)
    return function is not None and is_trivial(case, function, depth + 1)
