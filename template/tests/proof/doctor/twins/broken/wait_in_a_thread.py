"""Waits that may never end, each of which keeps a thread: also one of its own."""

import queue
import subprocess
import threading

from fastapi import FastAPI

from engine.slots.own_threads import own_threads

app = FastAPI()
ready = threading.Event()
results: queue.Queue[str] = queue.Queue()


@app.get("/event")
def event() -> bool:
    """Wait for an event."""
    return ready.wait()  # caught by doctor EX306


@app.get("/queue")
def result() -> str:
    """Wait for a result."""
    return results.get(True, None)  # caught by doctor EX306


@app.get("/program")
@own_threads(4)
def program() -> int:
    """Wait for a program."""
    return subprocess.run(["convert", "a.png", "b.pdf"], check=False).returncode  # caught by doctor EX306
