"""A blocking database driver in an endpoint."""

import sqlite3

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint() -> int:
    """Count rows."""
    with sqlite3.connect("rows.db") as database:  # caught by doctor EX100
        found = database.execute("select count(*) from rows").fetchone()  # caught by doctor EX100
    return int(found[0])
