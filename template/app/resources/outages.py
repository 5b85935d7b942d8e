"""Tells a database that does not serve, for whatever reason, from a statement that is wrong."""

import sqlite3

from sqlalchemy.exc import DBAPIError

POSTGRES = {"08", "53", "57", "58"}
"""Classes of SQLSTATE: connections; room on disk and in memory; shutdown and time-outs; the system
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
}


def is_outage(error: DBAPIError | OSError) -> bool:
    """Return whether the same statement may succeed once the database serves again."""
    if isinstance(error, OSError) or error.connection_invalidated:
        return True
    if code := getattr(error.orig, "sqlite_errorcode", None):
        return code & 0xFF in SQLITE
    return str(getattr(error.orig, "sqlstate", ""))[:2] in POSTGRES
