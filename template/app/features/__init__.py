"""YOURS: the features beyond OpenAI's protocol, a folder each. Updates leave them alone.

A feature is on once it stands in these lists: its operations, jobs, agents and tables here, its
endpoints in `endpoints.py`, which the worker does not load. To delete the example, delete its
folder, its test and its lines here and in `endpoints.py`.
"""

from typing import Any

from app.features.tables import Base
from app.features.triage.task import TRIAGE
from engine.agents.agent import Agent
from engine.jobs.jobs import Job
from engine.operations.operation import Operation

OPERATIONS: list[Operation[Any]] = [TRIAGE]
"""Operations that a line of a batch may ask for, too."""

JOBS: list[Job[Any]] = []
"""Long jobs. `POST /v1/jobs` starts one, or its schedule does."""

AGENTS: list[Agent] = []
"""Agents, each a model that callers may ask for. `uv run app new agent NAME` writes one."""

TABLES: list[type[Base]] = []
"""Tables of the features. `uv run alembic revision --autogenerate` writes the migration."""
