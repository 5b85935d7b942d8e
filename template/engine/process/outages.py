"""Classifies errors of the database: an outage, missing tables, or a refused value."""

import sqlite3
from socket import gaierror

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

POSTGRES = {"08", "28", "3D", "40", "53", "57", "58", "25006", "55P03"}
"""PostgreSQL's codes, or classes of them, for an error that is no fault of a statement: the server
cannot be reached, refuses all, has no room, is read-only, or a lock was not available
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
}

CONFLICTS = {"40001", "40P01"}
"""PostgreSQL's codes for a serialization failure and a deadlock: the same may succeed at once."""

LOCKED = {"55P03", "40P01", sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
"""PostgreSQL's codes for a lock that was not to be had and a deadlock, and SQLite's for both."""

READ_ONLY = {"25006", sqlite3.SQLITE_READONLY}
"""PostgreSQL's and SQLite's codes for a write that a transaction or the database refuses."""

NO_TABLE = {"42P01", "42703", sqlite3.SQLITE_ERROR}
"""PostgreSQL's codes for a table and a column that are not there, and SQLite's for both."""


def is_outage(error: Exception) -> bool:
    """Return whether the database or the disk cannot be used now: the same may succeed later."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    code = code_of(error)
    if isinstance(code, int):
        return code & 0xFF in SQLITE
    if code:
        return bool({code, code[:2]} & POSTGRES)
    # A plain OSError is one without a class of its own: no space, no route, no file descriptor.
    return type(error) is OSError or isinstance(error, ConnectionError | TimeoutError | gaierror)


def is_locked(error: Exception) -> bool:
    """Return whether another process has a lock for too long, or waits for one of ours."""
    return code_of(error) in LOCKED


def lacks_table(error: Exception) -> bool:
    """Return whether the database lacks a table or column that the code uses."""
    return code_of(error) in NO_TABLE


def is_refused(error: Exception) -> bool:
    """Return whether the database refuses a write for its data, so that no retry can succeed.

    The driver cannot encode a value, or PostgreSQL answers with class 22, 23 or 54: data
    exceptions, violated constraints and exceeded limits.
    """
    if isinstance(error, DataError | IntegrityError):
        return True
    if isinstance(error, DBAPIError):
        return str(code_of(error))[:2] in {"22", "23", "54"}
    said = error.orig if isinstance(error, StatementError) else error
    return isinstance(said, ValueError | TypeError | OverflowError | RecursionError)


def code_of(error: Exception) -> str | int | None:
    """Return PostgreSQL's SQLSTATE or SQLite's number of an error, None where it has neither."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code: str | int | None = getattr(cause, "sqlstate", None)
    return code or getattr(cause, "sqlite_errorcode", None)
