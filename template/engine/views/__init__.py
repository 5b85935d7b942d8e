"""Operators' views: backlog, details, overview, gauges."""
