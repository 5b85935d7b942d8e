"""The worker process: pools, reaper of expired leases, schedules, retention, probes."""
