"""Agents under faults."""
