"""The API key of development, made once and kept in the data folder."""

from pathlib import Path

from engine.callers.keys import create_key, find_caller
from engine.settings import Settings
from engine.sql.database import open_database

CALLER = "developer"


async def development_key(settings: Settings) -> str:
    """Return the kept key, or a new one where the database does not know it."""
    file = settings.data_dir / "development.key"
    async with open_database(settings) as database:
        kept = _read(file)
        caller = await database.read(find_caller, kept)
        if caller is not None:
            return kept
        key = await database.write(create_key, CALLER)
    _write(file, key)
    return key


def _read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def _write(file: Path, key: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(key + "\n")
