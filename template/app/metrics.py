"""What this process measures of itself, in Prometheus' terms. Importing this starts nothing."""
