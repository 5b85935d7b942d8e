"""File lock on the data folder, which belongs to one `app dev` at a time."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.operate.dev import CannotStart


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Make `folder` and keep it for this process; the system frees it when the process ends.

    Raise `CannotStart` where another process has it.
    """
    if sys.platform == "win32":
        raise CannotStart(
            "`app dev` needs Linux, macOS or WSL: on Windows install WSL and run it there."
        )
    import fcntl  # noqa: PLC0415  not on Windows

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "dev.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CannotStart(
                f"`app dev` already runs in {folder.absolute()} as process {file.read()}:"
                " stop it first, or set DATA_DIR to another folder."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
