"""Prometheus metrics of this process. Importing this starts nothing.

Names of routes, limits, agents and reasons are labels; callers, models, tools and paths are not:
each value of a label is kept for ever, and a model may make up names of tools.
"""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

requests = Histogram(
    "app_http_request_seconds",
    "From a request's first byte to its answer's last; a stream counts whole.",
    ["method", "route", "status"],
    buckets=SECONDS,
)

refused = Counter("app_refused_total", "Requests refused for lack of room, by reason.", ["reason"])

used = Gauge("app_limit_used", "Places taken of each limit in this process.", ["limit"])
waiting = Gauge("app_limit_waiting", "Calls that wait for a place of the limit.", ["limit"])
size = Gauge("app_limit_size", "Places of the limit.", ["limit"])

lag = Histogram(
    "app_event_loop_lag_seconds",
    "Delay of the event loop: how much later than asked it came back, ten times a second.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

stalls = Counter(
    "app_event_loop_stalls_total",
    "Stalls of the event loop longer than STALL_SECONDS, by the line of code that blocked it.",
    ["offender"],
)

exhausted = Counter(
    "app_threads_exhausted_seconds_total",
    "Time for which all threads of a limit were taken while calls waited for one.",
    ["limit"],
)

garbage = Histogram(
    "app_gc_pause_seconds",
    "Pauses for the collection of garbage, in which nothing else runs.",
    buckets=(0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)

slots = Gauge(
    "app_model_slots",
    "A provider's slots: `held` and `allowed` here, `cap` for all processes, `waiting` for one.",
    ["pool", "priority", "state"],
)

slot_wait = Histogram(
    "app_model_slot_wait_seconds",
    "Wait of a model call for its slot.",
    ["pool", "priority"],
    buckets=(0.001, *SECONDS),
)

slots_lapsed = Counter(
    "app_model_slots_lapsed_total",
    "Slots in use with a lost lease: other processes may have used them at the same time.",
    ["pool"],
)

queue = Gauge(
    "app_queue_depth", "Work of all workers by kind: `waiting` and `running`.", ["work", "state"]
)
oldest = Gauge("app_queue_oldest_seconds", "Wait of the oldest work, by kind.", ["work"])
snapshot = Gauge(
    "app_database_snapshot_seconds",
    "For how long PostgreSQL's oldest snapshot is held, which keeps dead rows from vacuum.",
)

model_calls = Counter("app_model_calls_total", "Calls to model providers.", ["provider", "outcome"])

agent_steps = Counter(
    "app_agent_steps_total",
    "Steps that agents have recorded, by kind (`model` or `tool`) and outcome.",
    ["agent", "kind", "outcome"],
)
agent_seconds = Histogram(
    "app_agent_step_seconds",
    "Answers of the model and calls of tools that agents waited for.",
    ["agent", "kind"],
    buckets=SECONDS,
)
agent_repeats = Counter(
    "app_agent_repeats_total",
    "Calls of tools that were begun again, since a worker died or stopped in their midst.",
    ["agent"],
)
approvals = Gauge(
    "app_agent_approvals_waiting", "Calls of agents that wait for a human's approval.", ["agent"]
)
oldest_approval = Gauge(
    "app_agent_approvals_oldest_seconds", "Wait of the oldest of them.", ["agent"]
)
