"""Blocking calls on an event loop raise `BlockingError` in tests, with the call's name.

A thread is no event loop: a `def` handler may block. Computing, locks taken by `with` and name
resolution are not seen: the watchdog sees them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from blockbuster import BlockBuster

HARMLESS = [
    # Before anybody is served.
    ("pydantic_settings/main.py", "__init__"),
    ("engine/resources.py", "enter"),
    ("engine/slots/redis_semaphore.py", "__init__"),
    ("engine/models/upstreams.py", "open_model"),
    ("sqlalchemy/engine/create.py", "create_engine"),
    ("engine/operate/dev/valkey.py", "find_server"),
    ("engine/operate/dev/valkey.py", "remove_leftover"),
    ("app/main.py", "create_app"),
    # Reads sources; serves nobody.
    ("doctor/project.py", "__init__"),
    ("doctor/project.py", "_read"),
    # Whether there are files for a connection's password and certificate, when it is opened.
    ("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args"),
    # Of `/proc`, which is no disk; by the reader of metrics, some times a minute.
    ("prometheus_client/process_collector.py", "collect"),
]
"""Places, as the end of a file's name and a function, under which calls may block."""


@contextmanager
def no_blocking(*modules: str) -> Iterator[BlockBuster]:
    """Have blocking calls raise where `modules` make them, themselves or through others.

    Without any, those of the app: tests may write files while a loop runs.
    """
    guard = BlockBuster(modules or ["app", "engine"])
    for call in guard.functions.values():
        for file, function in HARMLESS:
            call.can_block_in(file, function)
    guard.activate()
    try:
        yield guard
    finally:
        guard.deactivate()
