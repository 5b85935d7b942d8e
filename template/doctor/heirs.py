"""The subclasses of a class, and the implementations of a protocol."""

import sys

from doctor.project import Project


class Heirs:
    """The subclasses and implementations among the classes of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._found: list[type] = []
        self._of: dict[type, list[type]] = {}
        self._imported = 0

    def methods(self, kind: type, name: str) -> list[object]:
        """Return the methods of that name that may run where an object of `kind` is expected."""
        return [vars(heir)[name] for heir in self.of(kind) if name in vars(heir)]

    def of(self, kind: type) -> list[type]:
        """Return the classes that inherit from one, or have all that a protocol asks for."""
        classes = self._classes()
        if kind not in self._of:
            self._of[kind] = _heirs(kind, classes)
        return self._of[kind]

    def _classes(self) -> list[type]:
        """Return all classes of the project: again when more modules have been imported since."""
        if self._imported != len(sys.modules):
            found = (value for module in self._project.modules() for value in module.names.values())
            classes = (value for value in found if issubclass(type(value), type))
            self._found, self._imported = list(dict.fromkeys(classes)), len(sys.modules)
            self._of.clear()
        return self._found


def _heirs(kind: type, classes: list[type]) -> list[type]:
    if getattr(kind, "_is_protocol", False):
        asked = {name for name in vars(kind) if not name.startswith("_")}
        return [each for each in classes if asked and asked <= {*dir(each)}]
    return [each for each in classes if each is not kind and kind in each.__mro__]
