"""uvicorn's supervisor of several API processes, but with a stop like theirs."""

import signal
from types import FrameType

from uvicorn import Config
from uvicorn.supervisors import Multiprocess


class Workers(Multiprocess):
    """Stops its workers, and at a second signal at once."""

    def terminate_all(self) -> None:
        """Stop the workers, and let go of the socket, which each of them closes in its time.

        While this process held it, the kernel would accept connections that no worker serves until
        the last worker has ended, and reset them then.
        """
        for listener in self.sockets:
            listener.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._again)
        super().terminate_all()

    def _again(self, _number: int, _frame: FrameType | None) -> None:
        super().terminate_all()


def run_workers(config: Config) -> None:
    """Run as many processes as the configuration says, until a signal ends them."""
    Workers(config, sockets=[config.bind_socket()]).run()
