"""Model calls in flight in this process, counted by caller."""

from collections import Counter


class Calls:
    """Counts them. Callers without any cost nothing."""

    def __init__(self) -> None:
        self._in_flight: Counter[str] = Counter()

    def begin(self, caller_id: str, limit: int) -> bool:
        """Count one more and return True, or return False where there are `limit` already."""
        if self._in_flight[caller_id] >= limit:
            return False
        self._in_flight[caller_id] += 1
        return True

    def end(self, caller_id: str) -> None:
        """Count one less."""
        self._in_flight[caller_id] -= 1
        if not self._in_flight[caller_id]:
            del self._in_flight[caller_id]

    def __len__(self) -> int:
        return self._in_flight.total()
