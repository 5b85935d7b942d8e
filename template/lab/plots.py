"""Plots as SVG that stretches with the page; their words are HTML, and keep their size."""

import math
from collections.abc import Iterable, Sequence
from html import escape

from lab.measures import Point, Run, Sample

WIDTH = 1000
TALL, LOW = 168, 56
FLOOR = 0.0005
"""Least time on a logarithmic axis, in seconds."""

DECADES = {0.001: "1 ms", 0.01: "10 ms", 0.1: "100 ms", 1.0: "1 s", 10.0: "10 s"}


class Scale:
    """Axes that all runs of an experiment share."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.length = max(run.length for run in runs)
        longest = max(
            [seconds for run in runs for _, seconds, _ in (*run.probes, *run.people)], default=1.0
        )
        self.top = max(0.2, 1.4 * longest)
        late = max([late for run in runs for _, late in run.lag], default=1.0)
        self.most_late = max(0.2, 1.4 * late)
        self.most = max([value for run in runs for _, value in run.progress], default=0.0)

    def x(self, at: float) -> float:
        """Return the place of a time, in units of the plot's width."""
        return WIDTH * at / self.length

    def seconds(self) -> list[int]:
        """Return the whole seconds to mark, not too many of them."""
        step = max(1, math.ceil(self.length / 6))
        return list(range(0, math.floor(self.length) + 1, step))


def latency(run: Run, scale: Scale) -> str:
    """Return the time of each probe, as dots on a logarithmic axis."""
    marks = _dots("dots people", (s for s in run.people if s.good), scale)
    marks += _dots("dots probes", (s for s in run.probes if s.good), scale)
    marks += _dots("dots failed", (s for s in (*run.probes, *run.people) if not s.good), scale)
    lines = {_log(value, scale.top): label for value, label in DECADES.items() if value < scale.top}
    return _plot(f"Latency, {run.name}", marks, TALL, lines, run, scale)


def lag(run: Run, scale: Scale) -> str:
    """Return how late the event loop came back, as an area on a logarithmic axis."""
    shown = {0.001: "1 ms", 0.1: "100 ms", 10.0: "10 s"}
    lines = {_log(v, scale.most_late): label for v, label in shown.items() if v < scale.most_late}
    return _plot(f"Event loop lag, {run.name}", _area(run.lag, scale), LOW, lines, run, scale)


def progress(run: Run, scale: Scale) -> str:
    """Return how much is done, as a line."""
    most = scale.most or 1.0
    points = " ".join(
        f"{scale.x(at):.1f},{TALL / 2 * (1 - value / most / 1.08):.1f}"
        for at, value in run.progress
    )
    lines = {0.0: "0", 1 / 1.08: f"{most:,.0f}"}
    marks = f'<polyline class="line" points="{points}"/>'
    return _plot(f"Progress, {run.name}", marks, TALL // 2, lines, run, scale)


def axis(scale: Scale) -> str:
    """Return the words below the plots."""
    labels = "".join(
        f'<span style="left:{scale.x(second) / WIDTH:.2%}">{second} s</span>'
        for second in scale.seconds()
    )
    return f'<div class="axis" aria-hidden="true">{labels}</div>'


def events(run: Run, scale: Scale) -> str:
    """Return the words above the plots: when the load ran, and what happened."""
    first = min((at for at, _ in run.events), default=scale.length)
    load = [(run.begin, "load")] if first - run.begin > 0.08 * scale.length else []
    marks = [*load, *run.events]
    labels = "".join(
        f'<span style="{_beside(scale.x(at) / WIDTH)}">{escape(label)}</span>'
        for at, label in marks
    )
    return f'<div class="axis events" aria-hidden="true">{labels}</div>'


def _beside(share: float) -> str:
    """Return the place of words that begin at this share of the width, or end there if late."""
    return f"left:{share:.2%}" if share < 0.75 else f"right:{1 - share:.2%}"


def _plot(
    name: str, marks: str, height: int, lines: dict[float, str], run: Run, scale: Scale
) -> str:
    words = "".join(
        f'<span style="bottom:{share:.2%}">{label}</span>' for share, label in lines.items()
    )
    grid = "".join(_horizontal(height * (1 - share)) for share in lines)
    grid += "".join(_vertical("event", scale.x(at), height) for at, _ in run.events)
    begin, end = scale.x(run.begin), scale.x(run.end)
    load = f'<rect class="load" x="{begin:.1f}" width="{end - begin:.1f}" height="{height}"/>'
    return (
        f'<div class="plot" style="height:{height}px"><div class="words" aria-hidden="true">'
        f'{words}</div><svg viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(name)}">{load}{grid}{marks}</svg></div>'
    )


def _horizontal(y: float) -> str:
    return f'<path class="grid" d="M0 {y:.1f}H{WIDTH}"/>'


def _vertical(kind: str, x: float, height: int) -> str:
    return f'<path class="{kind}" d="M{x:.1f} 0V{height}"/>'


def _dots(kind: str, samples: Iterable[Sample], scale: Scale) -> str:
    places = "".join(
        f"M{scale.x(at):.1f} {TALL * (1 - _log(seconds, scale.top)):.1f}h0"
        for at, seconds, _ in samples
    )
    return f'<path class="{kind}" d="{places}"/>' if places else ""


def _area(points: Sequence[Point], scale: Scale) -> str:
    """Fill from each beat back to when it was due: so long nothing ran."""
    steps = "".join(
        f"M{scale.x(max(0.0, at - late)):.1f} {LOW}"
        f"V{LOW * (1 - _log(late, scale.most_late)):.1f}H{scale.x(at):.1f}V{LOW}"
        for at, late in points
        if late > FLOOR
    )
    return f'<path class="area" d="{steps}"/>' if steps else ""


def _log(value: float, top: float) -> float:
    """Return the share of the height at which a value stands."""
    return max(0.0, math.log(max(value, FLOOR) / FLOOR) / math.log(top / FLOOR))
