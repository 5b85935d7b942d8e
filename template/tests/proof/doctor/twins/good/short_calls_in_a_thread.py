"""Blocking calls of `def` endpoints and dependencies: short, or with an end."""

import queue
import sqlite3
import subprocess
import threading
import time
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI()
ready = threading.Event()
lock = threading.Lock()
results: queue.Queue[str] = queue.Queue()


def rows() -> int:
    """Count rows."""
    with sqlite3.connect("rows.db") as database:
        return int(database.execute("select count(*) from rows").fetchone()[0])


@app.get("/")
def endpoint(rows: Annotated[int, Depends(rows)]) -> str:
    """Sleep, read and wait for a moment."""
    time.sleep(0.05)
    lock.acquire()
    lock.release()
    ready.wait(1)
    done = subprocess.run(["ls"], timeout=5, check=False)
    return f"{rows} {Path('notes').read_text()} {results.get(timeout=1)} {done.returncode}"


@app.get("/next")
def next_result() -> str:
    """Return the next result, if there is one."""
    return results.get(False)
