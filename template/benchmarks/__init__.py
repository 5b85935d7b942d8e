"""Measures this service on this machine: `uv run python -m benchmarks.NAME`."""
