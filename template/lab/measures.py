"""What is measured, and what is said of it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Mark = Literal["wrong", "partly", "right"]
Point = tuple[float, float]


class Sample(NamedTuple):
    """One question: when it was asked, the seconds until its answer, whether that was good."""

    at: float
    seconds: float
    good: bool = True


@dataclass
class Run:
    """One way to do something: seen by those who ask meanwhile, and by the event loop."""

    name: str
    mark: Mark
    note: str
    code: str
    begin: float = 0.0
    """When the load began; all times count from the beginning of the run, in seconds."""
    end: float = 0.0
    length: float = 0.0
    probes: list[Sample] = field(default_factory=list)
    people: list[Sample] = field(default_factory=list)
    lag: list[Point] = field(default_factory=list)
    progress: list[Point] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    rate: float = 0.0
    wrong_rate: float = 0.0
    """The part of `rate` whose answers were false."""

    def under_load(self, samples: Iterable[Sample] | None = None) -> list[float]:
        """Return the seconds of the samples (or probes) that were asked under load, sorted."""
        chosen = self.probes if samples is None else samples
        return sorted(s.seconds for s in chosen if self.begin <= s.at <= self.end)

    def median(self) -> float:
        """Return what half of the probes under load did not exceed."""
        return at(self.under_load(), 0.5)

    def late(self) -> float:
        """Return what 95 % of the probes under load did not exceed."""
        return at(self.under_load(), 0.95)

    def worst_lag(self) -> float:
        """Return the longest that the event loop was late."""
        return max((late for _, late in self.lag), default=0.0)


class Headline(NamedTuple):
    """The one number that differs most, in words."""

    what: str
    wrong: str
    right: str


@dataclass(frozen=True)
class Experiment:
    """The runs of one lesson, and what they show."""

    name: str
    title: str
    setting: str
    """What was done, in a sentence."""
    runs: list[Run]
    rate_of: str
    verdict: str
    """What was seen, with the numbers."""
    shown: bool
    """Whether this run bears the lesson out, by a wide margin."""
    lesson: str
    headline: Headline
    progress_of: str = ""
    people_are: str = ""
    judged_by_people: bool = False
    """Whether the numbers are the waits of people, instead of the probes'."""


def at(values: list[float], share: float) -> float:
    """Return what this share of the sorted values does not exceed, nothing where there are none."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0


def time_text(seconds: float) -> str:
    """Return a time as people say it, with two digits."""
    if seconds < 0.9995:
        milliseconds = 1000 * seconds
        return (
            f"{milliseconds:.0f}\u00a0ms" if milliseconds >= 9.95 else f"{milliseconds:.1f}\u00a0ms"
        )
    return f"{seconds:.1f}\u00a0s"


def rate_text(rate: float) -> str:
    """Return a rate with two digits at least, but for none at all."""
    return f"{rate:,.0f}" if rate >= 9.95 or not rate else f"{rate:.1f}"
