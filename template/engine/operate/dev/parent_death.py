"""Become a command that ends at its parent's death: `parent_death.py PARENT_PID COMMAND …`.

A parent killed with -9 can stop no child, so each child sees to its own end. Everything here bears
kill -9: results are committed in the database, and Valkey writes accepted commands to a file.
"""

import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
POLL = 0.3  # seconds


def end_with_parent_on_linux() -> None:
    """Have the kernel kill this process, also after `exec`, when its parent ends."""
    import ctypes  # noqa: PLC0415  3 ms that the other systems need not spend

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_parent_elsewhere(parent: int) -> None:
    """Leave a small process behind that kills this one when its parent ends."""
    me = os.getpid()
    if os.fork():
        return
    os.closerange(0, 1024)  # a log pipe or a socket held here would look alive elsewhere
    while os.getppid() == me:  # else its work is done: another process took it over
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            os.kill(me, signal.SIGKILL)
        time.sleep(POLL)
    os._exit(0)


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        end_with_parent_on_linux()
    else:
        end_with_parent_elsewhere(int(parent))
    if os.getppid() != int(parent):
        sys.exit("The parent ended before its child could be tied to it.")
    os.execvp(command[0], command)  # noqa: S606  the caller's own command, without a shell


if __name__ == "__main__":
    main()
