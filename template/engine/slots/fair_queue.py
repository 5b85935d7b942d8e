"""Fair queue: first in, first out for each caller, and round robin over the callers."""

from asyncio import Future
from collections import OrderedDict, deque


class FairQueue:
    """A caller with a hundred waiters waits as long for its next turn as a caller with one."""

    def __init__(self) -> None:
        self._callers: OrderedDict[str, deque[Future[None]]] = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def join(self, caller: str, turn: Future[None]) -> None:
        """Let `caller` wait; `turn` is done when it has its turn. To give up, cancel `turn`."""
        self._callers.setdefault(caller, deque()).append(turn)
        self._waiting += 1
        turn.add_done_callback(self._left)

    def next(self) -> bool:
        """Give the next caller its turn; return False where no caller waits."""
        while self._callers:
            caller, turns = self._callers.popitem(last=False)
            turn = _first_alive(turns)
            if turns:
                self._callers[caller] = turns  # behind the other callers
            if turn is not None:
                turn.set_result(None)
                return True
        return False

    def _left(self, _turn: Future[None]) -> None:
        self._waiting -= 1


def _first_alive(turns: deque[Future[None]]) -> Future[None] | None:
    while turns:
        turn = turns.popleft()
        if not turn.done():
            return turn
    return None
