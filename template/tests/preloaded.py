"""What every process of this project loads at its start, loaded once for all that tests fork."""

import os
from contextlib import suppress
from importlib import import_module

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy starts no thread, which a fork would lose

import alembic.command
import alembic.config
import anyio._backends._asyncio
import pytest
import sqlalchemy.dialects.postgresql.asyncpg
import sqlalchemy.dialects.sqlite.pysqlite
import uvicorn
from sqlalchemy.orm import configure_mappers

import app.cli
import app.main
import app.worker
import engine.models.simulated
from app.settings import Settings
from engine.process.tokenizer import token_counter

MODULES = alembic, anyio, app.cli, app.main, app.worker, engine, pytest, sqlalchemy, uvicorn

with suppress(ImportError):
    import_module("valkey.asyncio")  # which the rate limiter loads where it is there
token_counter()
app.main.create_app(Settings(_env_file=None, docs=False))  # it imports the routers of the features
configure_mappers()
