"""The resources of a process: threads, HTTP, Redis, background tasks."""
