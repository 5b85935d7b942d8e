"""EX1: code that blocks the event loop, and with it every request of the process."""

import ast
from collections.abc import Iterator

from doctor.calls import Call
from doctor.case import Case, shown_node
from doctor.findings import Finding, Rule
from doctor.known import (
    BLOCKING_FUNCTIONS,
    BLOCKING_METHODS,
    COMPUTING_FUNCTIONS,
    COMPUTING_METHODS,
)
from doctor.rules.rounds import long_loop
from doctor.things import Thing

BLOCKING = Rule(
    "EX100",
    "a blocking call on the event loop",
    "until it returns, no request of this process goes on, health checks included",
    "an async client, or the call in a thread with a limit of its own: "
    "`await anyio.to_thread.run_sync(call, limiter=limiter)`",
)
LOCK = Rule(
    "EX101",
    "a thread's lock held across an await",
    "the next request that wants the lock blocks the loop, so that its holder never goes on",
    "`asyncio.Lock`, or a lock that is free again before the await",
)
LONG = Rule(
    "EX102",
    "a long loop on the event loop",
    "a million rounds of Python take about 50 ms, in which nothing else is answered",
    "a process (`anyio.to_process.run_sync`), or a checkpoint every few milliseconds",
)
COMPUTING = Rule(
    "EX103",
    "heavy computing on the event loop",
    "a password hash takes 50 to 300 ms by design, a model more, and nothing else is answered then",
    "a thread where the library releases the GIL, or else a process, each with a limit",
)

LOCKS = ("_thread.LockType", "_thread.RLock", "threading.Condition", "threading.Semaphore")


def blocking_calls(case: Case) -> Iterator[Finding]:
    """EX100: a call that waits for something outside the process, without `await`."""
    for visit, call in case.calls_in(*case.on_loop()):
        if not call.awaited and waits_for(call):
            yield case.at(BLOCKING, call.node, visit)


def locks_across_awaits(case: Case) -> Iterator[Finding]:
    """EX101: `with lock:` around an `await`."""
    for visit in case.on_loop():
        for node in visit.function.nodes:
            for item in node.items if isinstance(node, ast.With) and awaits(node) else ():
                if case.thing(item.context_expr, visit).of(*LOCKS):
                    yield case.at(LOCK, node, visit, f"with {shown_node(item.context_expr)}")


def long_loops(case: Case) -> Iterator[Finding]:
    """EX102: a loop of many rounds, one that the client sizes, or one that waits by asking."""
    for visit in case.on_loop():
        for node in visit.function.nodes:
            if head := long_loop(case, visit, node):
                yield case.at(LONG, node, visit, head)


def heavy_computing(case: Case) -> Iterator[Finding]:
    """EX103: calls of libraries that compute for long."""
    for visit, call in case.calls_in(*case.on_loop()):
        if not call.awaited and computes(call):
            yield case.at(COMPUTING, call.node, visit)


def waits_for(call: Call) -> str | None:
    """Return the kind of a blocking call, such as `http`, and nothing where it does not block."""
    if refuses_to_wait(call.node):
        return None
    for kind, functions in BLOCKING_FUNCTIONS.items():
        if call.thing.is_one_of(*functions):
            return kind
    for kind, methods in BLOCKING_METHODS.items():
        if any(_is_method(call.thing, owners, names) for owners, names in methods.items()):
            return kind
    return None


def computes(call: Call) -> bool:
    """Say whether a call is one of a library that computes for long."""
    thing = call.thing
    if thing.is_one_of(*COMPUTING_FUNCTIONS):
        return True
    called = Thing(receiver=thing, name="__call__") if thing.type else thing
    return any(_is_method(called, owners, names) for owners, names in COMPUTING_METHODS.items())


def awaits(node: ast.AST) -> bool:
    """Say whether the event loop may go on somewhere inside."""
    kinds = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield)
    return any(isinstance(inner, kinds) for inner in ast.walk(node))


def refuses_to_wait(node: ast.Call) -> bool:
    """Say whether a call asks not to block: `False`, `block=False`, `timeout=0`."""
    words = [word for word in node.keywords if word.arg in {"block", "blocking", "timeout"}]
    values = [word.value.value for word in words if isinstance(word.value, ast.Constant)]
    refuses = any(isinstance(each, ast.Constant) and each.value is False for each in node.args[:1])
    return refuses or any(value is not None and not value for value in values)


def _is_method(thing: Thing, owners: tuple[str, ...], names: tuple[str, ...]) -> bool:
    if thing.receiver is None or not thing.root.of(*owners):
        return False
    return thing.name in names or (names == ("*",) and thing.name not in {"close", "()", "[]"})
