"""Sums that gather in memory until somebody writes them down."""

from dataclasses import dataclass

from engine.models.interface import Usage


@dataclass(frozen=True, slots=True)
class Tally:
    """What one caller used of one model."""

    caller_id: str
    model: str
    requests: int
    used: Usage


class Tallies:
    """Sums by caller and model."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], Tally] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, caller_id: str, model: str, used: Usage) -> None:
        """Add one request."""
        before = self._sums.get((caller_id, model)) or Tally(caller_id, model, 0, Usage())
        together = Usage(
            before.used.prompt_tokens + used.prompt_tokens,
            before.used.completion_tokens + used.completion_tokens,
        )
        self._sums[caller_id, model] = Tally(caller_id, model, before.requests + 1, together)

    def take(self) -> list[Tally]:
        """Return all sums, in one order for all who write them, and begin anew."""
        sums, self._sums = self._sums, {}
        return [sums[key] for key in sorted(sums)]
