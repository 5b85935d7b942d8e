"""Counts tokens after the answer has left."""

import logging

from app.domain import usage
from app.errors import Overloaded
from app.resources.lifespan import Resources
from app.resources.models.interface import Usage

log = logging.getLogger(__name__)


def count(resources: Resources, caller_id: str, model: str, used: Usage) -> None:
    """Add to the caller's usage, soon. The answer is worth more than the count: no error leaves."""
    try:
        resources.background.spawn(resources.database.write, usage.add, caller_id, model, used)
    except Overloaded:
        log.warning("usage of %s not counted, too much to count: %s", caller_id, used)
