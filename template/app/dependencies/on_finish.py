"""What a request holds until its answer has ended."""

from collections.abc import Callable
from typing import TypeAlias

OnFinish: TypeAlias = list[Callable[[], object]]
"""What to call when the last byte has left, the client has gone or the request has failed: it is
`request.state.on_finish`.

`api/admission.py` calls it: a dependency that yields would cost each request 35 µs.
"""
