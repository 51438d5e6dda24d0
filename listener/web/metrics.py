"""Figures for Prometheus, computed from the rows at each scrape; none of them holds a patient's data.

``docs/reference/metrics.md`` holds the same table; a test compares.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from fastapi import APIRouter, Depends, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector

from listener.web.access import Permission, open_to_all, require
from listener.web.pages.desk import SUMMARY_DAYS, Desk
from listener.web.pictures.pool import DecoderPool
from storage.domain.delivery import DeliveryState
from storage.domain.job import JobKind, JobState
from storage.domain.notification import NotificationState
from storage.domain.study import ExclusionRule, QuarantineReason, StudyState
from storage.errors import StorageError
from storage.ports.facts import Facts

Samples = Iterator[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Described:
    """One metric: its type, its labels and what it means."""

    kind: str
    labels: tuple[str, ...]
    meaning: str


METRICS: Mapping[str, Described] = {
    "overread_build_info": Described("gauge", ("version",), "1, with the version of this release."),
    "overread_database_up": Described("gauge", (), "1 when the database answered this scrape; else 0, without counts."),
    "overread_studies": Described(
        "gauge", ("state",), f"Studies that received something in the last {SUMMARY_DAYS} days, by state."
    ),
    "overread_jobs": Described(
        "gauge",
        ("kind", "state"),
        f"Jobs that wait, run, or ended in the last {SUMMARY_DAYS} days; not those of shadows.",
    ),
    "overread_oldest_waiting_seconds": Described(
        "gauge", ("kind",), "Age of the job that waits longest; 0 for none. Shadows, which may wait long, do not count."
    ),
    "overread_silent_worker_jobs": Described(
        "gauge",
        (),
        "Jobs that were taken from a worker that fell silent, until they have ended or failed for another reason.",
    ),
    "overread_stuck_jobs": Described(
        "gauge",
        (),
        "Jobs whose worker fell silent and that nobody has taken from it for ten seconds, because no housekeeper runs.",
    ),
    "overread_deliveries": Described(
        "gauge",
        ("destination", "state"),
        f"Objects on their way to a destination, or settled in the last {SUMMARY_DAYS} days.",
    ),
    "overread_oldest_waiting_delivery_seconds": Described(
        "gauge", ("destination",), "Age of the delivery that waits longest for this destination; 0 for none."
    ),
    "overread_lane_paused": Described(
        "gauge", ("destination",), "1 while deliveries to it are paused because it does not answer; else 0."
    ),
    "overread_unproven_objects": Described(
        "gauge",
        ("destination",),
        f"Objects that were acknowledged and are not proven to be there; those given up, for {SUMMARY_DAYS} days.",
    ),
    "overread_oldest_unproven_seconds": Described(
        "gauge", ("destination",), "Time since the acknowledgement of the oldest of them; 0 for none."
    ),
    "overread_objects_lost": Described(
        "counter", (), "Acknowledged objects that a destination had lost, since the installation; each is sent again."
    ),
    "overread_notifications": Described(
        "gauge",
        ("receiver", "state"),
        f"Messages that a receiver has not taken; those refused or given up, for {SUMMARY_DAYS} days.",
    ),
    "overread_oldest_waiting_notification_seconds": Described(
        "gauge", ("receiver",), "Time that the oldest message has been owed that is tried; 0 for none."
    ),
    "overread_quarantined_objects": Described("gauge", ("reason",), "Objects that were set aside, ever, by reason."),
    "overread_instances_received": Described(
        "counter", (), "Instances recorded since the installation; a number may be skipped, never given twice."
    ),
    "overread_studies_received": Described("counter", (), "Studies recorded since the installation."),
    "overread_worker_silences": Described(
        "counter", (), "Jobs that were taken from a worker that fell silent, since the installation."
    ),
    "overread_jobs_given_up": Described(
        "counter", ("kind",), "Jobs that failed for good, since the installation; not those of shadows."
    ),
    "overread_studies_parked": Described("counter", (), "Studies that were held back, since the installation."),
    "overread_objects_set_aside": Described(
        "counter", ("reason",), "Objects that were set aside, since the installation, by reason."
    ),
    "overread_excluded_instances": Described(
        "counter",
        ("rule",),
        "Instances that were kept and count for no analysis, since the installation: results that came back, and more.",
    ),
    "overread_active_algorithms": Described("gauge", (), "Algorithms that are given work."),
    "overread_drift_alarms": Described(
        "gauge", ("algorithm", "version"), "Scanners and protocols on which the input or the scores have drifted."
    ),
    "overread_drift_index": Described(
        "gauge",
        ("algorithm", "version", "scanner", "protocol"),
        "Stability index of what differs most from the baseline at the last look.",
    ),
    "overread_spool_entries": Described("gauge", (), "Instances on disk that have no rows yet."),
    "overread_spool_bytes": Described("gauge", (), "Bytes of those instances."),
    "overread_disk_free_bytes": Described("gauge", (), "What the disk under data_dir has left."),
    "overread_decoders_lost": Described(
        "counter", (), "Processes that died or were ended while they decoded a picture, since the web door started."
    ),
}


def metrics_router(desk: Desk, decoders: DecoderPool, *, without_login: bool) -> APIRouter:
    """``/metrics``, for whoever may read metrics, or for everybody where the settings say so."""
    guard: Callable[..., object] = open_to_all if without_login else require(Permission.READ_METRICS)
    router = APIRouter(include_in_schema=False, dependencies=[Depends(guard)])

    @router.get("/metrics")
    def metrics() -> Response:
        """The figures as they are now."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Figures(desk, decoders.lost))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_1_0_0)

    return router


class _Figures(Collector):
    """Asks everything once per scrape."""

    def __init__(self, desk: Desk, decoders_lost: int) -> None:
        self._desk = desk
        self._decoders_lost = decoders_lost

    def collect(self) -> Iterator[Metric]:
        """The families in the order of the table; those that cannot be told now are left out."""
        values: dict[str, Samples] = {
            "overread_build_info": iter([((version("overread"),), 1.0)]),
            "overread_decoders_lost": _one(self._decoders_lost),
        }
        try:
            summary = self._desk.reading.summary(SUMMARY_DAYS)
            events = self._desk.reading.events_ever()
            drift = self._desk.monitoring.drift()
        except StorageError:
            values["overread_database_up"] = _one(0)
        else:
            values["overread_database_up"] = _one(1)
            values |= _from_rows(summary, [place.name for place in self._desk.destinations])
            values |= _from_events(events)
            values |= _from_drift(drift)
        try:
            disk = self._desk.disk_use()
        except OSError:
            pass  # no figure is better than a wrong one; readiness says that the spool is not there
        else:
            values["overread_spool_entries"] = _one(disk.spool_entries)
            values["overread_spool_bytes"] = _one(disk.spool_bytes)
            values["overread_disk_free_bytes"] = _one(disk.free_bytes)
        for name, described in METRICS.items():
            if name in values:
                family_class = CounterMetricFamily if described.kind == "counter" else GaugeMetricFamily
                family = family_class(name, described.meaning, labels=described.labels)
                for labels, value in values[name]:
                    family.add_metric(labels, value)
                yield family


def _from_rows(summary: Facts, destinations: list[str]) -> dict[str, Samples]:
    jobs = {(row["kind"], row["state"]): row for row in summary["jobs"]}
    aside = {row["reason"]: row["objects"] for row in summary["quarantined"]}
    deliveries = {(row["destination"], row["state"]): row["deliveries"] for row in summary["deliveries"]}
    waits = {(row["destination"], row["state"]): row["oldest_seconds"] for row in summary["deliveries"]}
    paused = {row["destination"] for row in summary["paused"]}
    unproven = {row["destination"]: row for row in summary["proofs"]}
    proving = sorted({*destinations, *unproven})
    places = sorted({*destinations, *(destination for destination, _ in deliveries)})
    return {
        "overread_studies": iter([((state,), summary["studies"].get(state, 0)) for state in StudyState]),
        "overread_jobs": iter(
            [
                ((kind, state), jobs[kind, state]["jobs"] if (kind, state) in jobs else 0)
                for kind in JobKind
                for state in JobState
            ]
        ),
        "overread_oldest_waiting_seconds": iter(
            [((kind,), jobs.get((kind, JobState.SCHEDULED), {}).get("oldest_seconds", 0)) for kind in JobKind]
        ),
        "overread_silent_worker_jobs": _one(sum(row["silent"] for row in summary["jobs"])),
        "overread_stuck_jobs": _one(sum(row["stuck"] for row in summary["jobs"])),
        "overread_deliveries": iter(
            [((place, state), deliveries.get((place, state), 0)) for place in places for state in DeliveryState]
        ),
        "overread_oldest_waiting_delivery_seconds": iter(
            [((place,), waits.get((place, DeliveryState.WAITING)) or 0) for place in places]
        ),
        "overread_lane_paused": iter([((place,), float(place in paused)) for place in sorted(destinations)]),
        "overread_unproven_objects": iter(
            [((place,), unproven[place]["objects"] if place in unproven else 0) for place in proving]
        ),
        "overread_oldest_unproven_seconds": iter(
            [((place,), unproven[place]["oldest_seconds"] if place in unproven else 0) for place in proving]
        ),
        **_of_receivers(summary["notifications"]),
        "overread_quarantined_objects": iter([((reason,), aside.get(reason, 0)) for reason in QuarantineReason]),
        "overread_instances_received": _one(summary["instances_ever"]),
        "overread_studies_received": _one(summary["studies_ever"]),
        "overread_active_algorithms": _one(summary["algorithms"]),
    }


def _of_receivers(rows: list[Facts]) -> dict[str, Samples]:
    """A receiver has its numbers while there is anything that it has not taken."""
    found = {(row["receiver"], row["state"]): row for row in rows}
    receivers = sorted({receiver for receiver, _ in found})
    tried = (NotificationState.WAITING, NotificationState.SENDING)
    ages = {
        name: [found[name, state]["oldest_seconds"] for state in tried if (name, state) in found] for name in receivers
    }
    untaken = [state for state in NotificationState if state is not NotificationState.DELIVERED]
    return {
        "overread_notifications": iter(
            [
                ((name, state), found[name, state]["messages"] if (name, state) in found else 0)
                for name in receivers
                for state in untaken
            ]
        ),
        "overread_oldest_waiting_notification_seconds": iter(
            [((name,), max(ages[name], default=0)) for name in receivers]
        ),
    }


def _from_events(events: Facts) -> dict[str, Samples]:
    """Each kind and reason has its number from the start, so that its growth to 1 is seen."""
    return {
        "overread_worker_silences": _one(events["silences"]),
        "overread_jobs_given_up": iter([((kind,), events["given_up"].get(kind, 0)) for kind in JobKind]),
        "overread_studies_parked": _one(events["parked"]),
        "overread_objects_lost": _one(events["lost"]),
        "overread_excluded_instances": iter([((rule,), events["excluded"].get(rule, 0)) for rule in ExclusionRule]),
        "overread_objects_set_aside": iter(
            [((reason,), events["set_aside"].get(reason, 0)) for reason in QuarantineReason]
        ),
    }


def _from_drift(drift: Facts) -> dict[str, Samples]:
    """A version that is looked at has its number of alarms from the start, also when it is 0."""
    alarms = {(row["name"], row["version"]): 0.0 for row in (*drift["groups"], *drift["alarms"])}
    for alarm in drift["alarms"]:
        alarms[alarm["name"], alarm["version"]] += 1
    compared = [row for row in drift["groups"] if row["comparisons"]]
    return {
        "overread_drift_alarms": iter(alarms.items()),
        "overread_drift_index": iter(
            [
                ((row["name"], row["version"], row["scanner"], row["protocol"]), row["comparisons"][0]["index"])
                for row in compared
            ]
        ),
    }


def _one(value: float) -> Samples:
    return iter([((), float(value))])
