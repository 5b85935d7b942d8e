"""Ways to keep the event loop, and ways to do the same work without."""

import asyncio
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from engine.process.concurrency import cooperate
from engine.process.offload import Offload


async def broken_sleep(seconds: float) -> None:
    time.sleep(seconds)


async def broken_sleep_in_a_helper(seconds: float) -> None:
    _legacy(seconds)


def _legacy(seconds: float) -> None:
    time.sleep(seconds)


def handler() -> None:
    _legacy(0.01)


async def async_handler() -> None:
    _legacy(0.01)


async def broken_computing(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(100))


async def broken_lock(seconds: float) -> None:
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(seconds, lock.release).start()
    lock.acquire()


async def broken_join(seconds: float) -> None:
    thread = threading.Thread(target=time.sleep, args=(seconds,))
    thread.start()
    thread.join()


async def broken_process(seconds: float) -> None:
    subprocess.run([sys.executable, "-c", f"import time; time.sleep({seconds})"], check=True)


async def broken_socket(seconds: float) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(seconds)
        try:
            one.recv(1)
        except TimeoutError:
            return


async def broken_file(_seconds: float) -> None:
    Path(__file__).read_text()


async def broken_database(_seconds: float) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("SELECT 1")


async def good_sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def good_thread(seconds: float) -> None:
    await Offload(1, 1).in_thread(time.sleep, seconds)


async def good_file_in_a_thread(_seconds: float) -> None:
    await Offload(1, 1).in_thread(Path(__file__).read_text)


async def good_computing(seconds: float) -> None:
    end = time.monotonic() + seconds
    async for _ in cooperate(iter(lambda: time.monotonic() < end, False)):
        sum(range(100))
