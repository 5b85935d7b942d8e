"""Durable agents: a model with tools, each of whose steps is a row."""
