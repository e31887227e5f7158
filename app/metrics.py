"""What monitoring sees: this process's requests, and the queue, workers and counts as the database has them.

The latter are read when somebody asks, so that several API processes say the same. Nothing belongs to anybody: no
names, no owners. Each figure comes from an index or from a counter, whatever number of proposals there is.
"""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.common_counts import are_counted_together
from app.counters import ATTEMPTS, JOB_DURATIONS, JOB_SECONDS, JOBS, PROPOSALS, Counters
from app.database import Sessions, reading
from app.jobs.endings import BEYOND, DURATION_BUCKETS_S
from app.monitoring import Backlog, read_backlog
from app.version import VERSION

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RequestMetrics:
    """Requests of this process, in a registry of its own: two applications in one process do not mix."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "netadapt_http_request_duration_seconds",
            "Time until the answer began, of this process.",
            ["method", "route", "status"],
            buckets=_REQUEST_BUCKETS_S,
            registry=registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the template. A method can be any word that a client makes up, and each would be kept."""
        self._seconds.labels(method if method in _METHODS else "other", route, str(status)).observe(seconds)


def make_metrics(sessions: Sessions) -> tuple[CollectorRegistry, RequestMetrics]:
    """What /metrics shows, and where requests are counted. Processes that answer on one address are asked in turns and
    have to say the same: they count in common files, and none tells what it takes up itself."""
    shown = CollectorRegistry(auto_describe=False)
    Info("netadapt_build", "The version of this process.", registry=shown).info({"version": VERSION})
    shown.register(DatabaseCollector(sessions))
    if are_counted_together():
        MultiProcessCollector(shown)  # type: ignore[no-untyped-call]  # registers itself
        return shown, RequestMetrics(CollectorRegistry())
    ProcessCollector(namespace="netadapt", registry=shown)
    return shown, RequestMetrics(shown)


class DatabaseCollector(Collector):
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def describe(self) -> Iterable[Metric]:
        return ()  # registering must not ask the database

    def collect(self) -> Iterator[Metric]:
        with reading(self._sessions) as session:
            backlog = read_backlog(session)
            counters = Counters(session)
            counted = {name: counters.read(name) for name in (PROPOSALS, JOBS, JOB_DURATIONS, JOB_SECONDS, ATTEMPTS)}
        yield from _backlog(backlog)
        yield _counter("netadapt_proposals", "Proposals recorded.", "state", counted[PROPOSALS])
        yield _counter("netadapt_jobs_ended", "Jobs that came to their end.", "state", counted[JOBS])
        yield _durations(counted[JOB_DURATIONS], counted[JOB_SECONDS])
        yield _counter("netadapt_webhook_attempts", "Messages sent, or tried to.", "outcome", counted[ATTEMPTS])


def _backlog(backlog: Backlog) -> Iterator[Metric]:
    yield _gauge("netadapt_jobs", "Jobs by state.", ["state"], backlog.jobs)
    yield _gauge("netadapt_queue", "Work by lane: jobs are the long one's.", ["lane", "state"], backlog.queue)
    yield _gauge("netadapt_oldest_queued_seconds", "Age of the oldest that waits.", ["kind"], backlog.oldest_s)
    yield _gauge("netadapt_leases", "Work that is held; expired: its holder died.", ["kind", "state"], backlog.leases)
    yield _gauge("netadapt_workers", "Processes that serve a lane.", ["lane"], backlog.workers)
    yield _gauge("netadapt_webhook_deliveries", "Messages by state.", ["state"], backlog.deliveries)
    yield GaugeMetricFamily("netadapt_stored_bytes", "Of all stored files.", value=backlog.stored_bytes)


def _gauge(name: str, help_text: str, labels: list[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for at, value in values.items():
        family.add_metric(list(at), value)
    return family


def _counter(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=[label])
    for at, value in values.items():
        family.add_metric([at], value)
    return family


def _durations(buckets: Mapping[str, float], sums: Mapping[str, float]) -> Metric:
    family = HistogramMetricFamily("netadapt_job_duration_seconds", "From first claim to end.", labels=["state"])
    for state, seconds in sums.items():
        total, cumulative = 0.0, []
        for limit in (*map(str, DURATION_BUCKETS_S), BEYOND):
            total += buckets.get(f"{state}/{limit}", 0)
            cumulative.append((limit, total))
        family.add_metric([state], cumulative, seconds)
    return family
