"""Reading and writing files in an endpoint: the disk may be a network's."""

from pathlib import Path

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint(name: str) -> str:
    """Copy a file."""
    text = Path("notes").joinpath("a.txt").read_text()  # caught by doctor EX100
    with open("copy.txt", "w") as copy:  # caught by doctor EX100, ruff ASYNC230
        copy.write(text + name)
    return text
