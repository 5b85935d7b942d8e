"""EX3: clients, models and waits."""

import ast
from collections.abc import Iterator

from doctor.calls import Call, Where
from doctor.case import Case
from doctor.findings import Finding, Rule
from doctor.known import (
    BLOCKING_FUNCTIONS,
    CLIENTS,
    MODELS,
    TIMEOUTS,
    WEB,
)
from doctor.project import Function, Module
from doctor.rules.loop import waits_for
from doctor.rules.mutation import GROWING
from doctor.things import Thing

PER_REQUEST = Rule(
    "EX304",
    "a client, pool or model made for one request",
    "an HTTP client costs 19 ms of processor time, a pool a handshake, a model seconds, each time",
    "make it in the lifespan, keep it for the process, and hand it to requests",
)
UNLIMITED = Rule(
    "EX306",
    "a wait without a limit",
    "a side that never answers keeps the request, with its connection or thread, for ever",
    "a timeout of your own, shorter than that of your callers",
)

RETURNS = 3
"""Through how many functions a client may be returned to the one that keeps it."""

REQUESTS = tuple(f"requests.{method}" for method in WEB[:-2])


def made_per_request(case: Case) -> Iterator[Finding]:
    """EX304: a client that is made in a request, and not kept."""
    for visit, call in case.calls_in(*case.in_requests()):
        made = call.thing.is_one_of(*CLIENTS, *MODELS)
        if made and not _is_kept(case, call.node, visit.function):
            yield case.at(PER_REQUEST, call.node, visit)


def unlimited_waits(case: Case) -> Iterator[Finding]:
    """EX306: `timeout=None` for a client, anywhere; in a request `requests` without a timeout.

    In a `def` endpoint or dependency also a wait for a thread or a program, which keep its thread.
    """
    for module in case.project.modules():
        for node, function in _calls(module):
            if any(_is_none(word) for word in node.keywords):
                thing = case.names.thing(node.func, module, function)
                if thing is not None and _is_client(thing):
                    yield case.in_module(UNLIMITED, node, module)
    for visit, call in case.calls_in(*case.visits):
        keeps = call.thing.is_one_of(*REQUESTS) or (visit.where is Where.THREAD and _waits(call))
        if keeps and not _has_limit(call):
            yield case.at(UNLIMITED, call.node, visit)


def _waits(call: Call) -> bool:
    """Say whether a call waits for a thread or a program; a lock is soon free again."""
    starts = call.thing.made is not None  # `Popen` goes on without it
    return waits_for(call) in {"wait", "process"} and call.thing.name != "acquire" and not starts


def _has_limit(call: Call) -> bool:
    """Say whether a call has, or may have, a timeout."""
    node, place = call.node, TIMEOUTS.get(call.thing.name)
    if place is not None and len(node.args) > place:
        return not (isinstance(last := node.args[place], ast.Constant) and last.value is None)
    return any(word.arg in {"timeout", None} and not _is_none(word) for word in node.keywords)


def _calls(module: Module) -> Iterator[tuple[ast.Call, Function | None]]:
    for node in module.parents:
        if not isinstance(node, ast.Call):
            continue
        above = module.parents.get(node)
        while above is not None and not isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
            above = module.parents.get(above)
        yield node, next((f for f in module.functions.values() if f.node is above), None)


def _is_none(word: ast.keyword) -> bool:
    return (
        word.arg == "timeout" and isinstance(word.value, ast.Constant) and word.value.value is None
    )


def _is_client(thing: Thing) -> bool:
    web = BLOCKING_FUNCTIONS["http"]
    if thing.is_one_of(*CLIENTS, *web):
        return True
    kinds = tuple(name for name in CLIENTS if name.rpartition(".")[2][0].isupper())
    return thing.receiver is not None and thing.root.of(*kinds)


def _is_kept(case: Case, call: ast.Call, function: Function, depth: int = 0) -> bool:
    """Say whether the result of a call goes into an attribute, a global name or a collection."""
    above = function.module.parents[call]
    while isinstance(above, ast.expr):
        above = function.module.parents[above]
    if isinstance(above, ast.Return):
        return depth < RETURNS and _callers_keep(case, function, depth + 1)
    if not isinstance(above, ast.Assign):
        return False
    if not all(isinstance(target, ast.Name) for target in above.targets):
        return True
    names = {target.id for target in above.targets if isinstance(target, ast.Name)}
    if any(isinstance(node, ast.Global) and names & {*node.names} for node in function.nodes):
        return True
    return any(_keeps(node, names) for node in function.nodes) or (
        depth < RETURNS
        and any(isinstance(n, ast.Return) and _is_one(n.value, names) for n in function.nodes)
        and _callers_keep(case, function, depth + 1)
    )


def _callers_keep(case: Case, function: Function, depth: int) -> bool:
    """Say whether all callers of a function keep its result; code that is handed it may, too."""
    calls = [
        (call, visit.function)
        for visit, call in case.calls_in(*case.visits)
        if case.function(call) is function
    ]
    return all(_is_kept(case, call.node, by, depth) for call, by in calls)


def _keeps(node: ast.AST, names: set[str]) -> bool:
    """Say whether a statement puts one of the names into something that stays."""
    if isinstance(node, ast.Assign):
        stays = any(not isinstance(target, ast.Name) for target in node.targets)
        return stays and _is_one(node.value, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in GROWING and any(_is_one(each, names) for each in node.args)
    return False


def _is_one(node: ast.expr | None, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names
