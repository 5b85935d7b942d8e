"""How late an event loop is, seen from outside: a process asks `GET /live` every 10 ms."""

import http.client
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

EVERY = 0.01


@dataclass
class Lag:
    """Seconds that each probe took. Filled when the measuring ends."""

    probes: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """Return the time that this share of the probes did not exceed."""
        return sorted(self.probes)[math.ceil(share * len(self.probes)) - 1]


@contextmanager
def measuring(port: int) -> Iterator[Lag]:
    """Probe while the block runs."""
    command = [sys.executable, "-m", "benchmarks.lag", str(port)]
    lag = Lag()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as probing:
        assert probing.stdout
        probing.stdout.readline()  # it probes
        try:
            yield lag
        finally:
            output, _ = probing.communicate("stop\n")
            lag.probes += json.loads(output)


def probe(port: int) -> None:
    """Probe until a line comes in, then print what each probe took."""
    stopping = threading.Event()
    threading.Thread(target=_wait_for_a_line, args=[stopping], daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    took = [_ask(connection)]
    sys.stdout.write("probing\n")
    sys.stdout.flush()
    while not stopping.wait(EVERY):
        took.append(_ask(connection))
    json.dump(took, sys.stdout)


def _ask(connection: http.client.HTTPConnection) -> float:
    started = time.perf_counter()
    connection.request("GET", "/live")
    connection.getresponse().read()
    return time.perf_counter() - started


def _wait_for_a_line(stopping: threading.Event) -> None:
    sys.stdin.readline()
    stopping.set()


if __name__ == "__main__":
    probe(int(sys.argv[1]))
