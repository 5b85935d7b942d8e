"""Claimed work of every kind: leases, workers, outbox."""
