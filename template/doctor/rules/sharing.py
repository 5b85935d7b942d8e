"""The objects that all requests share: globals, the app's, and some that dependencies give."""

import ast
from functools import cached_property

from doctor.calls import Visit
from doctor.case import Case
from doctor.project import Function


class Sharing:
    """The shared objects of one app."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def is_shared(self, visit: Visit, owner: ast.expr) -> bool:
        """Say whether the object that an expression gives lives as long as the process."""
        if isinstance(owner, ast.Name):
            if owner.id == "self":
                return visit.function in self._shared_methods
            if owner.id in self._supplied.get(visit.function, ()):
                return True
        return self._case.thing(owner, visit).shared

    @cached_property
    def _supplied(self) -> dict[Function, set[str]]:
        """The parameters that a dependency fills with something shared."""
        found: dict[Function, set[str]] = {}
        for route in self._case.routes:
            function = self._case.project.function(route.endpoint)
            for name, call in route.suppliers.items():
                supplier = self._case.project.function(call)
                if function and supplier and self._gives_shared(supplier):
                    found.setdefault(function, set()).add(name)
        return found

    def _gives_shared(self, supplier: Function) -> bool:
        given = [node.value for node in supplier.nodes if isinstance(node, ast.Return | ast.Yield)]
        things = [self._case.calls.thing(node, supplier) for node in given]
        return bool(things) and all(thing.shared for thing in things)

    @cached_property
    def _shared_methods(self) -> set[Function]:
        """The methods that are called on something shared, also by one another."""
        found: set[Function] = set()
        before = -1
        while before != len(found):
            before = len(found)
            for visit in self._case.visits:
                found |= self._called_on_shared(visit, found)
        return found

    def _called_on_shared(self, visit: Visit, known: set[Function]) -> set[Function]:
        found = set()
        for _, call in self._case.calls_in(visit):
            node = call.node.func
            if not isinstance(node, ast.Attribute):
                continue
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            shared = visit.function in known if own else self._is_outside(visit, node.value)
            if shared and (target := self._case.function(call)) and target.owner:
                found.add(target)
        return found

    def _is_outside(self, visit: Visit, owner: ast.expr) -> bool:
        if isinstance(owner, ast.Name) and owner.id in self._supplied.get(visit.function, ()):
            return True
        return self._case.thing(owner, visit).shared
