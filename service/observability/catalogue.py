# SPDX-License-Identifier: MIT
"""The metrics of the API and of the relay. docs/metrics.md lists them; tests compare."""

from service.observability.families import Family, Kind, Merge

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_RELAY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_SIZES = tuple(float(2**power) for power in range(9))


def _counter(name: str, help_: str, *labels: str) -> Family:
    return Family(name=name, kind=Kind.COUNTER, help=help_, labels=labels)


def _gauge(name: str, help_: str, *labels: str, merge: Merge = Merge.SUM) -> Family:
    return Family(name=name, kind=Kind.GAUGE, help=help_, labels=labels, merge=merge)


def _histogram(name: str, help_: str, *labels: str, bounds: tuple[float, ...] = _SECONDS) -> Family:
    return Family(name=name, kind=Kind.HISTOGRAM, help=help_, labels=labels, bounds=bounds)


REQUESTS = _counter(
    "training_http_requests_total",
    "Requests that were answered; the code is that of an error, or empty.",
    "method", "route", "status", "code",
)  # fmt: skip
REQUEST_DURATION = _histogram(
    "training_http_request_duration_seconds",
    "Time from a request's headers to the end of its answer.",
    "method", "route", "status",
)  # fmt: skip

QUEUE_LENGTH = _gauge("training_queue_length", "Requests that wait for a group.", "kind")
QUEUE_LIMIT = _gauge("training_queue_limit", "Most requests that may wait for a group.", "kind")
QUEUE_WAIT = _histogram(
    "training_queue_wait_seconds", "Wait of a request until its first group began.", "kind"
)
GROUP_DURATION = _histogram(
    "training_group_duration_seconds", "Time of a group, with its transaction.", "kind"
)
GROUP_SIZE = _histogram("training_group_size", "Requests in a group.", "kind", bounds=_SIZES)
RETRIES = _counter("training_retries_total", "Attempts of requests after their first.", "kind")
SKIPPED = _counter(
    "training_skipped_commands_total",
    "Commands put off because another transaction held their session or user.",
)
UNCERTAIN = _counter(
    "training_uncertain_commits_total",
    "Commands whose commit got no answer, by what became of them.",
    "resolution",
)
TRANSITIONS = _counter(
    "training_session_transitions_total", "Events of sessions, as committed.", "transition"
)

CONNECTIONS = _gauge("training_database_connections", "Open database connections.", "state")
CONNECTIONS_LIMIT = _gauge(
    "training_database_connections_limit", "Most database connections of this replica."
)
CONNECTION_WAITERS = _gauge(
    "training_database_connection_waiters", "Transactions that wait for a connection."
)

TOKEN_CHECKS = _counter("training_token_checks_total", "Checked tokens.", "outcome")
JWKS_FETCHED = _gauge(
    "training_jwks_fetched_timestamp_seconds",
    "When the key set was fetched last, of several workers the longest ago; 0 for never.",
    merge=Merge.OLDEST,
)
JWKS_FETCHES = _counter("training_jwks_fetches_total", "Fetches of the key set.", "outcome")

READY = _gauge(
    "training_ready", "1 if every worker was ready by its last check, else 0.", merge=Merge.LEAST
)
WRITABLE = _gauge(
    "training_writable",
    "1 if no worker knows that writes fail, by its last write and check, else 0.",
    merge=Merge.LEAST,
)
WORKERS = _gauge("training_workers", "Worker processes that run.")
WORKER_STARTS = _counter("training_worker_starts_total", "Worker processes that were started.")

PROCESS = (
    _gauge("process_virtual_memory_bytes", "Virtual memory of all processes."),
    _gauge("process_resident_memory_bytes", "Resident memory of all processes."),
    _gauge("process_start_time_seconds", "When the first process was started.", merge=Merge.LEAST),
    _counter("process_cpu_seconds_total", "Processor time of all processes."),
    _gauge("process_open_fds", "Open files of all processes."),
    _gauge("process_max_fds", "Most open files of all processes."),
)

API = (
    REQUESTS, REQUEST_DURATION,
    QUEUE_LENGTH, QUEUE_LIMIT, QUEUE_WAIT,
    GROUP_DURATION, GROUP_SIZE, RETRIES, SKIPPED, UNCERTAIN, TRANSITIONS,
    CONNECTIONS, CONNECTIONS_LIMIT, CONNECTION_WAITERS,
    TOKEN_CHECKS, JWKS_FETCHED, JWKS_FETCHES,
    READY, WRITABLE, WORKERS, WORKER_STARTS,
    *PROCESS,
)  # fmt: skip

RELAY_READY = _gauge("training_ready", "1 if the relay is active, or could take over.")
RELAY_LEADER = _gauge("training_relay_leader", "1 if this relay is the active one.")
RELAY_STATE = _gauge("training_relay_state", "1 for the state of this relay.", "state")
RELAY_PENDING = _gauge("training_relay_pending_events", "Events in the queue.")
RELAY_PARKED_NOW = _gauge("training_relay_parked_events", "Events that are parked.")
RELAY_OLDEST_EVENT = _gauge(
    "training_relay_oldest_event_timestamp_seconds",
    "Time of the oldest event in the queue; absent if it is empty.",
)
RELAY_PUBLISHED = _counter(
    "training_relay_published_events_total", "Events that the stream has stored."
)
RELAY_DUPLICATES = _counter(
    "training_relay_duplicate_events_total", "Events that the stream had already."
)
RELAY_PARKED = _counter("training_relay_parked_events_total", "Events that were parked.")
RELAY_CONFLICTS = _counter(
    "training_relay_conflicting_events_total",
    "Parked events in whose place the stream holds another message.",
)
RELAY_TURN_DURATION = _histogram(
    "training_relay_turn_duration_seconds", "Turns that found events.", bounds=_RELAY_SECONDS
)
RELAY_COMMIT_TO_ACK = _histogram(
    "training_relay_commit_to_ack_seconds",
    "From the time of an event to the end of its turn.",
    bounds=_RELAY_SECONDS,
)

RELAY = (
    RELAY_READY, RELAY_LEADER, RELAY_STATE,
    RELAY_PENDING, RELAY_PARKED_NOW, RELAY_OLDEST_EVENT,
    RELAY_PUBLISHED, RELAY_DUPLICATES, RELAY_PARKED, RELAY_CONFLICTS,
    RELAY_TURN_DURATION, RELAY_COMMIT_TO_ACK,
)  # fmt: skip
