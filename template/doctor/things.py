"""The thing that an expression stands for, as far as it is known without running the code."""

import functools
import inspect
import sys
import types
from dataclasses import dataclass
from typing import Any

from doctor.project import Function

UNKNOWN: Any = object()


DEFINITIONS = (
    *(types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, types.MethodType),
    *(types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType),
)


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """An object that this process holds, or one of a known class, or a part of such."""

    value: Any = UNKNOWN
    """The very object, where it exists already."""

    kind: type | None = None
    """Its class, where only that is known."""

    function: Function | None = None
    """A function inside a function, which exists only while that one runs."""

    receiver: "Thing | None" = None
    """The thing of which it is an attribute or a result."""

    name: str = ""
    """Under which name."""

    shared: bool = False
    """Whether it lives as long as the process."""

    @property
    def known(self) -> bool:
        """Whether it is an object that exists already."""
        return self.value is not UNKNOWN

    @property
    def module(self) -> types.ModuleType | None:
        """The module that it is, if it is one."""
        return self.value if issubclass(type(self.value), types.ModuleType) else None

    @property
    def made(self) -> "type[Any] | None":
        """The class that it is, if it is one, of which a call makes an object."""
        return self.value if issubclass(type(self.value), type) else None

    @property
    def type(self) -> type | None:
        """The class of the object that it is, if it is one and not a class, function or module."""
        if self.kind is not None:
            return self.kind
        return type(self.value) if self.known and not is_definition(self.value) else None

    @property
    def root(self) -> "Thing":
        """The nearest object of a known class that it is an attribute or a result of, or itself."""
        thing = self.receiver
        while thing is not None and thing.type is None:
            thing = thing.receiver
        return thing or self

    def is_one_of(self, *names: str) -> bool:
        """Say whether it is one of the functions or classes with these dotted names."""
        return self.known and any(self.value is named(name) for name in names)

    def of(self, *names: str) -> bool:
        """Say whether it is an object of one of the classes; their modules may be missing."""
        return self.type is not None and issubclass(self.type, classes(names))


def is_definition(value: object) -> bool:
    """Say whether a value is a module, class or function rather than an object of its own."""
    # Not by `isinstance`: the class that a lazy proxy claims to have may be made by asking.
    return issubclass(type(value), DEFINITIONS)


def has_attributes(value: object) -> bool:
    """Say whether an object holds attributes of its own, and can be asked for them."""
    try:
        return value is not UNKNOWN and isinstance(vars(value), dict)
    except Exception:  # noqa: BLE001 -- `TypeError` for most, and anything for a lazy proxy
        return False


def classes(names: tuple[str, ...]) -> tuple[type, ...]:
    """Return the classes of these names that this process has imported."""
    return tuple(found for name in names if inspect.isclass(found := named(name)))


@functools.cache
def named(dotted: str) -> Any:  # noqa: ANN401 -- whatever has the name
    """Return the object of a dotted name, `UNKNOWN` where its module has not been imported.

    Kept for one examination: between two, a library may be imported, or patched.
    """
    parts = dotted.split(".")
    for length in range(len(parts) - 1, 0, -1):
        value: Any = sys.modules.get(".".join(parts[:length]), UNKNOWN)
        if value is UNKNOWN:
            continue
        for part in parts[length:]:
            try:
                value = getattr(value, part)
            except AttributeError:
                return UNKNOWN
        return value
    return UNKNOWN


NOTHING = Thing()
"""The thing of an expression that cannot be resolved."""
