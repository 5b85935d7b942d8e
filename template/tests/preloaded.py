"""What every process of this project loads at its start, loaded once for all that tests fork."""

import alembic.command
import bpe_openai
import pytest
import uvicorn
from sqlalchemy.orm import configure_mappers

import app.cli
import app.main
import app.worker

MODULES = alembic.command, app.cli, app.main, app.worker, pytest, uvicorn

bpe_openai.get_encoding("cl100k_base")
configure_mappers()
