"""What a process has open: threads, HTTP, Redis, background tasks."""
