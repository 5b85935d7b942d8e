"""Name resolution: follows an expression of the source to an object, class or annotation."""

import ast
import builtins
import inspect
from contextlib import suppress
from functools import cached_property

from doctor.bindings import (
    Binding,
    Bindings,
    bindings_of,
    definition,
    imports_of,
)
from doctor.fields import Fields, Placed
from doctor.heirs import Heirs
from doctor.known import RESULTS
from doctor.project import (
    Function,
    Module,
    Project,
    plain,
)
from doctor.things import (
    NOTHING,
    UNKNOWN,
    Thing,
    classes,
    has_attributes,
    is_definition,
)
from doctor.values import (
    display,
    imported,
    of_annotation,
    of_module,
)

DEPTH = 12
"""How far one expression is followed: further than code goes, and less than a cycle would."""

CACHES = ("functools.lru_cache", "functools.cache")


class Names:
    """The name resolution of a project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.fields = Fields(project)
        self.heirs = Heirs(project)
        self._bindings: dict[Function, Bindings] = {}
        self._imports: dict[Module, Bindings] = {}

    def bindings(self, function: Function) -> Bindings:
        """Return how each local name of a function gets its value."""
        if function not in self._bindings:
            self._bindings[function] = bindings_of(function)
        return self._bindings[function]

    def function(self, thing: Thing | None) -> Function | None:
        """Return the source of a function of the project, or of a class's `__init__`."""
        if thing is None:
            return None
        return thing.function or (self.project.function(thing.value) if thing.known else None)

    def functions(self, thing: Thing | None) -> list[Function]:
        """Return the functions that a call may run: for a method also all overrides."""
        found = [self.function(thing)]
        if thing is not None and thing.receiver is not None and thing.receiver.kind is not None:
            overrides = self.heirs.methods(thing.receiver.kind, thing.name)
            found += [self.project.function(method) for method in overrides]
        return list(dict.fromkeys(function for function in found if function is not None))

    def thing(
        self, node: ast.AST | None, module: Module, function: Function | None, depth: int = 0
    ) -> Thing | None:
        """Return the thing that an expression stands for, nothing where it cannot be resolved."""
        if node is None or depth > DEPTH:
            return None
        following = _Following(self, module, function, depth + 1)
        found: Thing | None = None
        match node:
            case ast.Name():
                found = following.name(node.id)
            case ast.Attribute():
                found = following.attribute(following.thing(node.value), node.attr)
            case ast.Call():
                found = following.result(node)
            case ast.Subscript():
                base = following.thing(node.value)
                found = Thing(receiver=base, name="[]", shared=base.shared) if base else None
            case ast.Await() | ast.NamedExpr():
                found = following.thing(node.value)
            case ast.BoolOp():
                found = following.first(node.values)
            case ast.IfExp():
                found = following.first([node.body, node.orelse])
            case _:
                found = display(node)
        return found

    def is_cached(self, function: Function) -> bool:
        """Say whether a function runs once and its result is kept."""
        following = _Following(self, function.module, function.outer, 0)
        return any(following.is_cache(each) for each in function.node.decorator_list)

    def imports(self, module: Module) -> Bindings:
        """Return the bindings of a module's imports."""
        if module not in self._imports:
            self._imports[module] = imports_of(module)
        return self._imports[module]


class _Following:
    """One step of the way, in one function of one module."""

    def __init__(self, names: Names, module: Module, function: Function | None, depth: int) -> None:
        self.names = names
        self.module = module
        self.function = function
        self.depth = depth

    def thing(self, node: ast.AST | None) -> Thing | None:
        return self.names.thing(node, self.module, self.function, self.depth)

    def first(self, nodes: list[ast.expr]) -> Thing | None:
        return next((thing for node in nodes if (thing := self.thing(node))), None)

    def name(self, name: str) -> Thing | None:
        scope = self.function
        while scope is not None:
            found = self.names.bindings(scope).get(name)
            if found is not None:
                return self._bound(found, scope)
            scope = scope.outer
        if name in self.module.names:
            value = self.module.names[name]
            return Thing(value=value, name=name, shared=not is_definition(value))
        if found := self.names.imports(self.module).get(name):
            return self._bound(found, None)
        value = getattr(builtins, name, UNKNOWN)
        return Thing(value=value, name=name) if value is not UNKNOWN else None

    def _bound(self, found: list[Binding], scope: Function | None) -> Thing | None:
        here = _Following(self.names, self.module, scope, self.depth)
        for binding in found:
            if thing := here.binding(binding):
                return thing
        return None

    def binding(self, binding: Binding) -> Thing | None:
        """Return the thing that a binding gives its name."""
        found: Thing | None = None
        match binding.how:
            case "annotated":
                found = self.annotation(binding.node)
            case "assigned":
                found = self.thing(binding.node)
            case "entered":
                found = self.entered(binding.node)
            case "imported":
                found = imported(binding.name, self.module)
            case "defined" if self.function:
                found = Thing(function=definition(self.function, binding.node))
            case "owner" if self.function:
                owner = self.names.fields.owner(self.function)
                found = Thing(kind=owner) if owner else None
        return found

    def annotation(self, node: ast.AST | None) -> Thing | None:
        """Return an object of the class that an annotation names."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            with suppress(SyntaxError):
                return self.annotation(ast.parse(node.value, mode="eval").body)
        if isinstance(node, ast.BinOp):
            return self.annotation(node.left) or self.annotation(node.right)
        if isinstance(node, ast.Subscript):
            head = self.thing(node.value) or NOTHING
            inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
            transparent = head.is_one_of("typing.Annotated", "typing.Optional")
            return self.annotation(inner) if transparent else of_annotation(head.value)
        return of_annotation((self.thing(node) or NOTHING).value)

    def entered(self, node: ast.AST | None) -> Thing | None:
        """Return the target of a `with`: the value that a project's manager yields, or itself."""
        if isinstance(node, ast.Call):
            made = self.names.function(self.thing(node.func))
            if made is not None and made.is_generator and made.node.returns is not None:
                return self._in(made).yielded(made.node.returns)
        return self.thing(node)

    def yielded(self, returns: ast.expr) -> Thing | None:
        if not isinstance(returns, ast.Subscript):
            return None
        inner = returns.slice
        return self.annotation(inner.elts[0] if isinstance(inner, ast.Tuple) else inner)

    def result(self, node: ast.Call) -> Thing | None:
        """Return the result of a call."""
        called = self.thing(node.func)
        if called is None or called.made is not None:
            return Thing(kind=called.made) if called else None
        known = next((RESULTS[name] for name in RESULTS if called.is_one_of(name)), None)
        if known is not None:
            return next((Thing(kind=kind) for kind in classes((known,))), None)
        if (function := self.names.function(called)) is not None:
            return self.returned(function)
        annotations = getattr(called.value, "__annotations__", {}) if called.known else {}
        given = of_annotation(annotations.get("return"))
        return given or (Thing(receiver=called, name="()") if called.receiver else None)

    def returned(self, function: Function) -> Thing | None:
        """Return the result that a function of the project declares."""
        if function.is_generator:
            return None
        given = self._in(function).annotation(function.node.returns)
        cached = self.names.is_cached(function)
        return Thing(kind=given.type, shared=cached) if given and given.type else None

    def is_cache(self, decorator: ast.expr) -> bool:
        """Say whether a decorator keeps the result of the first call."""
        inner = decorator.func if isinstance(decorator, ast.Call) else decorator
        return (self.thing(inner) or NOTHING).is_one_of(*CACHES)

    def _in(self, function: Function) -> "_Following":
        return _Following(self.names, function.module, function.outer, self.depth)

    def attribute(self, base: Thing | None, name: str) -> Thing | None:
        """Return an attribute of something."""
        if base is None or base.module is not None:
            return of_module(base.module, name) if base and base.module else None
        if base.made is not None:
            value = inspect.getattr_static(base.made, name, UNKNOWN)
            return Thing(value=plain(value), receiver=base, name=name)
        held = vars(base.value).get(name, UNKNOWN) if has_attributes(base.value) else UNKNOWN
        if held is not UNKNOWN:
            return Thing(value=held, receiver=base, name=name, shared=base.shared)
        of_app = name == "state" and base.name == "app"
        unknown = Thing(receiver=base, name=name, shared=base.shared or of_app)
        if of_app:
            return unknown
        found = self._of_object(base, base.type, name) if base.type else self._of_state(base, name)
        return found or unknown

    def _of_object(self, base: Thing, kind: type, name: str) -> Thing | None:
        held = inspect.getattr_static(kind, name, UNKNOWN)
        if isinstance(held, property | cached_property):
            get = held.fget if isinstance(held, property) else held.func
            getter = self.names.project.function(get)
            return self._in(getter).annotation(getter.node.returns) if getter else None
        if is_definition(plain(held)):
            return Thing(value=plain(held), receiver=base, name=name)
        return self._assigned(base, name, self.names.fields.of(kind).get(name, []))

    def _of_state(self, base: Thing, name: str) -> Thing | None:
        places = self.names.fields.state.get(name, []) if base.name == "state" else []
        return self._assigned(base, name, places)

    def _assigned(self, base: Thing, name: str, places: list[Placed]) -> Thing | None:
        for binding, module, function in places:
            there = _Following(self.names, module, function, self.depth)
            if (found := there.binding(binding)) and found.type:
                return Thing(kind=found.type, receiver=base, name=name, shared=base.shared)
        return None
