"""The tests. Importing any of them isolates the process: see `tests.isolation`."""

from tests.isolation import isolate

isolate()
