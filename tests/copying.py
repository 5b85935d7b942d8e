"""Copier in a quarter of its time, with the same result: 0.4 s instead of 1.6 s for a render.

It makes a template of each part of each path, for each file anew, and asks git once for each file
whether the mode counts, which it always does where these tests run.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any, cast

import jinja2
import pytest
from copier._main import Worker


@contextmanager
def fast_copies() -> Iterator[None]:
    """Render only texts that have something to render, compile each once, and do not ask git."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2.Environment, "compile", _compiled_once())
        patch.setattr(Worker, "_render_string", _render_string)
        patch.setattr(Worker, "answers_relpath", property(_answers_relpath))
        patch.setattr(Worker, "_sync_git_index_executable_bit", lambda *_: None)
        yield


def _compiled_once() -> Callable[..., CodeType]:
    compiled: dict[Hashable, CodeType] = {}
    compile_ = cast("Callable[..., CodeType]", jinja2.Environment.compile)

    def once(self: jinja2.Environment, source: str, *place: str | None) -> CodeType:
        key = (source, place, self.lexer, *self.extensions)
        if key not in compiled:
            compiled[key] = compile_(self, source, *place)
        return compiled[key]

    return once


def _render_string(
    worker: Worker,
    string: str,
    extra_context: dict[str, Any] | None = None,
    render: Callable[..., str] = Worker._render_string,  # noqa: SLF001 -- the one replaced above
) -> str:
    return render(worker, string, extra_context) if "{" in string else string


def _answers_relpath(worker: Worker) -> Path:
    return Path(worker.answers_file or worker.template.answers_relpath)
