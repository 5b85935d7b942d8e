"""What this process measures of itself, in Prometheus' terms. Importing this starts nothing."""

from prometheus_client import Counter, Histogram

slot_wait = Histogram(
    "app_model_slot_wait_seconds",
    "Wait of a model call for its slot.",
    ["pool", "priority"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600),
)

model_calls = Counter("app_model_calls_total", "Calls to model providers.", ["provider", "outcome"])
