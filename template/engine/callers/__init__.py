"""Callers: their keys, fair shares, token usage and idempotency keys."""
