"""EX3: state that one request leaves in the process, where the next one finds it."""

import ast
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator

from doctor.calls import Visit
from doctor.case import Case, shown_node
from doctor.findings import Finding, Rule
from doctor.flow import holding, mentions
from doctor.rules.laziness import global_names, is_costly, is_lazy
from doctor.rules.mutation import (
    CHANGING,
    GROWING,
    changed_parts,
    changed_targets,
    is_removed_from,
)
from doctor.rules.sharing import Sharing
from doctor.things import Thing

APP_STATE = Rule(
    "EX301",
    "a request writes to `app.state`",
    "all requests share it: between two awaits of one request, another one overwrites it",
    "an argument, a local name, or `request.state`; make shared objects in the lifespan",
)
ATTRIBUTE = Rule(
    "EX302",
    "a request writes to an object that all requests share",
    "between two awaits of one request, another one overwrites it, and answers with its data",
    "an argument or a local name, or an object made for each request",
)
GLOBAL = Rule(
    "EX303",
    "a request writes to a global name",
    "all requests share it, and every worker process has another one",
    "an argument or a local name; a row in the database for data that must last",
)
DEFAULT = Rule(
    "EX305",
    "a default value that calls change",
    "it is made once, at import: data that one request puts in, the next one finds",
    "`None` as default, and the list or dictionary made inside",
)
LAZY = Rule(
    "EX307",
    "something shared is made by the first request that needs it",
    "two first requests at once both make it, and the first one waits for all of it",
    "the lifespan, which opens before the first request and closes after the last",
)
FILLED = Rule(
    "EX308",
    "a global collection that requests fill and nothing empties",
    "memory grows for as long as the process lives; a restart loses it, a second worker lacks it",
    "the database, a cache with a bound, or a queue",
)


COLLECTIONS = (list, dict, set, deque, defaultdict, Counter, OrderedDict)


def app_state(case: Case) -> Iterator[Finding]:
    """EX301: an assignment to an attribute of the app's state."""
    for visit in case.in_requests():
        for node, target in changed_targets(visit.function):
            owner = target.value if isinstance(target, ast.Attribute) else None
            if _is_app_state(case, visit, owner) and not is_lazy(node, target, visit):
                yield case.at(APP_STATE, node, visit, shown_node(target))


def attributes(case: Case) -> Iterator[Finding]:
    """EX302: data of a request in an attribute of something shared."""
    sharing = Sharing(case)
    for visit in case.in_requests():
        held = holding(visit.function, visit.data | visit.given)
        for node, target in changed_targets(visit.function):
            if not isinstance(target, ast.Attribute) or not isinstance(node, ast.Assign):
                continue
            if _is_app_state(case, visit, target.value) or not mentions(node.value, held):
                continue
            if sharing.is_shared(visit, target.value):
                yield case.at(ATTRIBUTE, node, visit, shown_node(target))


def globals_written(case: Case) -> Iterator[Finding]:
    """EX303: data of a request in a name that the function declares global; not a count."""
    for visit in case.in_requests():
        names = global_names(visit.function)
        held = holding(visit.function, visit.data | visit.given)
        for node, target in changed_targets(visit.function):
            is_global = isinstance(target, ast.Name) and target.id in names
            if is_global and mentions(node, held) and not is_lazy(node, target, visit):
                yield case.at(GLOBAL, node, visit, shown_node(target))


def lazy(case: Case) -> Iterator[Finding]:
    """EX307: `if it is None: it = make()` for a global name or an attribute of something shared."""
    sharing = Sharing(case)
    for visit in case.in_requests():
        names = global_names(visit.function)
        for node, target in changed_targets(visit.function):
            if isinstance(target, ast.Name):
                shared = target.id in names
            else:
                shared = isinstance(target, ast.Attribute) and sharing.is_shared(
                    visit, target.value
                )
            if shared and is_lazy(node, target, visit) and is_costly(case, visit, node):
                yield case.at(LAZY, node, visit, shown_node(target))


def mutable_defaults(case: Case) -> Iterator[Finding]:
    """EX305: a list or dictionary as default that the function changes."""
    for visit in case.visits:
        if visit.is_root and "tool" not in visit.roles:
            continue  # FastAPI copies the defaults of its own parameters
        names = {each.arg for each, default in visit.function.defaults if _is_mutable(default)}
        for node, owner in changed_parts(visit.function, CHANGING):
            if isinstance(owner, ast.Name) and owner.id in names:
                yield case.at(DEFAULT, node, visit, owner.id)


def growing(case: Case) -> Iterator[Finding]:
    """EX308: a global list, set or dictionary to which data of requests is only added."""
    for visit in case.in_requests():
        held = holding(visit.function, visit.data | visit.given)
        for node, owner in changed_parts(visit.function, GROWING):
            if mentions(node, held) and _is_growing(case, owner, case.thing(owner, visit)):
                yield case.at(FILLED, node, visit, shown_node(owner))


def _is_app_state(case: Case, visit: Visit, node: ast.expr | None) -> bool:
    if not isinstance(node, ast.Attribute) or node.attr != "state":
        return False
    named_app = isinstance(node.value, ast.Attribute) and node.value.attr == "app"
    return named_app or case.thing(node.value, visit).of("starlette.applications.Starlette")


def _is_mutable(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in {"list", "dict", "set"}
    return isinstance(node, ast.List | ast.Dict | ast.Set)


def _is_growing(case: Case, owner: ast.expr, thing: Thing) -> bool:
    if not thing.shared or not thing.known or not isinstance(owner, ast.Name | ast.Attribute):
        return False
    if type(thing.value) not in COLLECTIONS or getattr(thing.value, "maxlen", None):
        return False
    return not is_removed_from(case.project, shown_node(owner).rpartition(".")[2])
