"""ZONE 3, another process: long, heavy, retried, survives restarts."""
