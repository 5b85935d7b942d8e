"""Limits on calls: distributed semaphore, admission queue, rate limits."""
