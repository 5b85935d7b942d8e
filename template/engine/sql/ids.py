"""Ids that sort by time and carry their kind."""

import uuid_utils


def new_id(kind: str) -> str:
    """Return a new id such as `batch_0198c5…`: UUIDv7, so later ids sort after earlier ones."""
    return f"{kind}_{uuid_utils.uuid7().hex}"


def id_at(kind: str, moment: float) -> str:
    """Return a bound that sorts after each id made before `moment`, in seconds since 1970."""
    return f"{kind}_{int(moment * 1000):012x}"
