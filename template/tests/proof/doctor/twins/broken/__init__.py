"""Modules with one bug each."""
