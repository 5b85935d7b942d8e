"""How much memory processes grow by, from Linux's own books."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.service import Program


@dataclass
class Growth:
    """Bytes by which each process grew at its peak. Filled when the measuring ends."""

    peaks: list[int] = field(default_factory=list)


@contextmanager
def growing(*programs: Program) -> Iterator[Growth]:
    """Measure the programs' resident memory while the block runs."""
    folders = [Path(f"/proc/{program.process.pid}") for program in programs]
    for folder in folders:
        (folder / "clear_refs").write_text("5")  # the peak starts anew: see proc(5)
    before = [_bytes(folder, "VmRSS") for folder in folders]
    growth = Growth()
    try:
        yield growth
    finally:
        after = [_bytes(folder, "VmHWM") for folder in folders]
        growth.peaks += _differences(after, before)


def peak(program: Program) -> int:
    """Return the most bytes of resident memory that a program has had."""
    return _bytes(Path(f"/proc/{program.process.pid}"), "VmHWM")


def _differences(after: Sequence[int], before: Sequence[int]) -> list[int]:
    return [late - early for late, early in zip(after, before, strict=True)]


def _bytes(folder: Path, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", (folder / "status").read_text())
    assert found
    return int(found[1]) * 1024
