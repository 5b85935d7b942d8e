"""Line splitter: lines out of the pieces of a file that is never whole in memory."""


class LineSplitter:
    """Gives the lines of a file that comes in pieces, one after the other.

    A line that is longer than `longest` bytes is cut to one more than that: enough to see that it
    is too long, and little enough that a file without line breaks is never whole in memory.
    """

    def __init__(self, longest: int) -> None:
        self._most = longest + 1
        self._begun = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in this piece, without their line breaks."""
        *ended, begun = piece.split(b"\n")
        if not ended:
            self._extend(begun)
            return []
        self._extend(ended[0])
        lines = [bytes(self._begun), *(line[: self._most] for line in ended[1:])]
        self._begun = bytearray(begun[: self._most])
        return lines

    def end(self) -> list[bytes]:
        """Return the rest after the last line break, as one line."""
        return [bytes(self._begun)]

    def _extend(self, more: bytes) -> None:
        self._begun += more[: self._most - len(self._begun)]
