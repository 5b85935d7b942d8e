"""How often a loop goes round, where that can be told."""

import ast
from collections.abc import Iterator
from itertools import chain

from doctor.calls import Visit
from doctor.case import Case, shown_node
from doctor.flow import holding, is_from

ROUNDS = 1_000_000
"""From here on a loop is long: about 50 ms."""

CLOCKS = ("time.time", "time.monotonic", "time.perf_counter")
LOOPS = ast.For | ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp
LETTING_GO = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield)


def long_loop(case: Case, visit: Visit, node: ast.AST) -> str | None:
    """Return the head of a loop that surely takes long and never lets the event loop go on."""
    if not isinstance(node, ast.While | LOOPS):
        return None
    if any(isinstance(inner, LETTING_GO) for inner in ast.walk(node)):
        return None
    if isinstance(node, ast.While):
        return f"while {shown_node(node.test)}" if _asks_the_clock(case, visit, node.test) else None
    iterated = node.iter if isinstance(node, ast.For) else node.generators[0].iter
    if _rounds(case, visit, node) >= ROUNDS or _is_sized_by_client(visit, iterated):
        return f"for … in {shown_node(iterated)}"
    return None


def _asks_the_clock(case: Case, visit: Visit, test: ast.expr) -> bool:
    called = (node.func for node in ast.walk(test) if isinstance(node, ast.Call))
    return any(case.thing(each, visit).is_one_of(*CLOCKS) for each in called)


def _rounds(case: Case, visit: Visit, node: ast.AST) -> int:
    """Return how many rounds are known for sure: nested loops multiply theirs."""
    if isinstance(node, ast.For):
        inner = max((_rounds(case, visit, each) for each in _loops_in(node.body)), default=1)
        return max(1, _length(case, visit, node.iter)) * inner
    rounds = 1
    for each in getattr(node, "generators", []):
        rounds *= max(1, _length(case, visit, each.iter))
    return rounds


def _loops_in(body: list[ast.stmt]) -> Iterator[ast.AST]:
    inner = chain.from_iterable(ast.walk(statement) for statement in body)
    return (node for node in inner if isinstance(node, LOOPS))


def _length(case: Case, visit: Visit, node: ast.expr) -> int:
    if not isinstance(node, ast.Call) or shown_node(node) != "range()":
        return 0
    numbers = [_number(case, visit, argument) for argument in node.args]
    known = [number for number in numbers if number is not None]
    return len(range(*known)) if known and len(known) == len(numbers) else 0


def _number(case: Case, visit: Visit, node: ast.expr) -> int | None:
    if isinstance(node, ast.BinOp):
        left, right = _number(case, visit, node.left), _number(case, visit, node.right)
        return _calculated(node.op, left, right) if left is not None and right is not None else None
    value = case.thing(node, visit).value
    return value if type(value) is int else None


def _calculated(operation: ast.operator, left: int, right: int) -> int | None:
    match operation:
        case ast.Mult():
            return left * right
        case ast.Pow() if 0 <= right <= 64:
            return int(left**right)
        case ast.Add():
            return left + right
        case _:
            return None


def _is_sized_by_client(visit: Visit, node: ast.expr) -> bool:
    """Say whether a loop runs over a `range` of a number that the client sends, without a bound."""
    if not isinstance(node, ast.Call) or shown_node(node) != "range()" or not visit.is_root:
        return False
    free = {
        parameter.arg
        for parameter, default in visit.function.defaults
        if parameter.arg in visit.data and not _is_bounded(parameter.annotation, default)
    }
    return any(is_from(each, holding(visit.function, free)) for each in node.args)


def _is_bounded(*parts: ast.expr | None) -> bool:
    inner = chain.from_iterable(ast.walk(part) for part in parts if part is not None)
    return any(isinstance(node, ast.keyword) and node.arg in {"le", "lt"} for node in inner)
