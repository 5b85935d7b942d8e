"""Broken twin: each attempt at a call has a key of its own."""

from engine.agents.steps import Step
from tests.proof.agents.modules.refunds import AGENT

__all__ = ["AGENT"]


def key(step: Step) -> str:
    """Return a key that the next attempt does not have."""
    return f"{step.approval_id or step.id}-{step.attempt}"


Step.key = property(key)  # type: ignore[method-assign,assignment]
