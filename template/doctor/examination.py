"""One examination: an app by its name in, the table and the findings out."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, TypeGuard

from starlette.applications import Starlette

from doctor.case import Case
from doctor.findings import Finding
from doctor.ignores import judged
from doctor.project import Project
from doctor.rules import CHECKS
from doctor.table import Row, rows
from doctor.things import named


class NotAnAppError(Exception):
    """The name leads to no FastAPI app. The message names the remedy."""


@dataclass(frozen=True, slots=True)
class Examination:
    """The result of an examination."""

    rows: list[Row]
    findings: list[Finding]
    project: Project


def examine(
    app: Starlette,
    *folders: Path,
    jobs: Iterable[Callable[..., Any]] = (),
    agents: Iterable[Any] = (),
) -> Examination:
    """Return the examination of an app with its source in the folders.

    An agent has a name and a toolbox: tools by their names, each with `run` and `parameters`.
    """
    named.cache_clear()
    project = Project(*folders)
    case = Case(app, project, jobs, agents)
    found: dict[tuple[Path, int, str], Finding] = {}
    for check in CHECKS:
        for finding in check(case):
            found.setdefault((finding.path, finding.line, finding.rule.id), finding)
    findings = judged(found.values(), project.modules())
    order = sorted(findings, key=lambda each: (each.path, each.line, each.rule.id))
    return Examination(list(rows(case)), order, project)


def find_app(name: str) -> tuple[Starlette, Path]:
    """Return the app of `module:app`, or of a factory `module:create_app`, and its folder.

    The folder is that of its top-level package, or the module's own. Raise `NotAnAppError`.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        raise NotAnAppError(f"Name the app as module:app, not {name}.")
    sys.path.insert(0, str(Path.cwd()))
    try:
        app: object = import_module(module)
    except ModuleNotFoundError as error:
        message = f"There is no module {error.name}, seen from {Path.cwd()}. Is it installed here?"
        raise NotAnAppError(message) from error
    folder = _folder(module.partition(".")[0])
    for part in attribute.split("."):
        app = getattr(app, part, None)
    app = app() if _is_factory(app) else app
    if not isinstance(app, Starlette):
        raise NotAnAppError(f"{name} is no FastAPI app, and no function that returns one.")
    return app, folder


def _folder(package: str) -> Path:
    """Return where the source of a top-level package or module lies."""
    found = sys.modules[package]
    paths = getattr(found, "__path__", None)
    folder = Path(next(iter(paths))) if paths else Path(found.__file__ or "").parent
    here = Path.cwd() / package
    if here.is_dir() and not here.samefile(folder):  # that of the process which runs the doctor
        message = f"{package} is loaded from {folder} here. Copy {Path(__file__).parent} beside"
        raise NotAnAppError(f"{message} {here} and type `python -m doctor.command {package}.…`.")
    return folder


def _is_factory(app: object) -> TypeGuard[Callable[[], object]]:
    if isinstance(app, Starlette) or not callable(app):
        return False
    needed = [each for each in signature(app).parameters.values() if each.default is each.empty]
    return not any(each.kind is not each.VAR_KEYWORD for each in needed)
