"""Batches: input, lanes, items, group commit, output."""
