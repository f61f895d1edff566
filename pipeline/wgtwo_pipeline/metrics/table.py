"""Every metric, once: name, type, help, labels. The exporter, docs/metrics.md, alerts, dashboard and tests follow it.

Names stay, since alerts and dashboards of users rest on them. Labels have bounded values: names of subscriptions,
children and tables, codes of gRPC, reasons of quarantine; never a phone number, an id or a path.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

PREFIX: Final = "wgtwo_"

MEMBER, CHILD, LAKE, JOB, PROCESS = "A member", "Children", "The lake", "Jobs", "Processes"
"""Who knows a figure: under these titles docs/metrics.md has them."""

_MEMBER: Final = ("subscription", "member")


@dataclass(frozen=True)
class Metric:
    """One metric. `name` as Prometheus shows it, without the prefix.

    `fact`: under which name a child reports it; with a label besides those of the child, a mapping of label to value.
    `bounds`: upper bounds of a histogram's buckets, without the infinite one.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    of: str
    help: str
    labels: tuple[str, ...] = ()
    fact: str = ""
    bounds: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """With the prefix."""
        return PREFIX + self.name


ACK_BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WRITE_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZE_BOUNDS: Final = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0)

# A table is read by its rows.
# fmt: off
METRICS: Final = (
    Metric("ingest_received_deliveries_total", "counter", MEMBER,
           "Deliveries taken from the stream, redeliveries included.", _MEMBER, "received"),
    Metric("ingest_redelivered_deliveries_total", "counter", MEMBER,
           "Journaled deliveries that the service says it has sent before.", _MEMBER, "redelivered"),
    Metric("ingest_journaled_deliveries_total", "counter", MEMBER, "Deliveries durable in the journal.",
           _MEMBER, "journaled"),
    Metric("ingest_acked_deliveries_total", "counter", MEMBER, "Acks that the service accepted.", _MEMBER, "acked"),
    Metric("ingest_unackable_deliveries_total", "counter", MEMBER,
           "Deliveries whose bytes name nothing to ack; journaled all the same.", _MEMBER, "unackable"),
    Metric("ingest_received_bytes_total", "counter", MEMBER, "Bytes of the deliveries taken from the stream.",
           _MEMBER, "received_bytes"),
    Metric("ingest_journaled_bytes_total", "counter", MEMBER, "Bytes of the deliveries durable in the journal.",
           _MEMBER, "journaled_bytes"),
    Metric("ingest_failed_acks_total", "counter", MEMBER,
           "Acks that were refused or not answered in time, by gRPC code; their events come again.",
           (*_MEMBER, "code"), "failed_acks"),
    Metric("ingest_segments_total", "counter", MEMBER,
           "Segments written: kind deliveries, or heartbeat where nothing came.", (*_MEMBER, "kind"), "kinds"),
    Metric("ingest_streams_total", "counter", MEMBER, "Streams opened.", _MEMBER, "streams"),
    Metric("ingest_stream_ends_total", "counter", MEMBER, "Streams that ended, by gRPC code.",
           (*_MEMBER, "code"), "stream_ends"),
    Metric("ingest_lake_write_failures_total", "counter", MEMBER,
           "Tries to use the lake that failed and were repeated; nothing is acked meanwhile.",
           _MEMBER, "lake_failures"),
    Metric("ingest_token_requests_total", "counter", MEMBER, "Requests for an OAuth token: outcome ok or failed.",
           (*_MEMBER, "outcome"), "token_requests"),
    Metric("ingest_delivery_to_ack_seconds", "histogram", MEMBER,
           "From a delivery's arrival to the answer to its ack, of the oldest of those acked together: the SLO.",
           ("subscription",), "delivery_to_ack", ACK_BOUNDS),
    Metric("ingest_segment_write_seconds", "histogram", MEMBER, "From the first try until a segment is durable.",
           ("subscription",), "segment_write", WRITE_BOUNDS),
    Metric("ingest_segment_deliveries", "histogram", MEMBER, "Deliveries of a segment; heartbeats not counted.",
           ("subscription",), "segment_deliveries", SIZE_BOUNDS),
    Metric("ingest_in_flight_deliveries", "gauge", MEMBER, "Deliveries taken from the stream and not acked yet.",
           _MEMBER, "in_flight"),
    Metric("ingest_max_in_flight_deliveries", "gauge", MEMBER, "How many the service sends at most before acks.",
           _MEMBER, "max_in_flight"),
    Metric("ingest_oldest_unacked_seconds", "gauge", MEMBER, "How long the oldest delivery in hand has waited.",
           _MEMBER, "oldest_unacked_seconds"),
    Metric("ingest_ack_timeout_seconds", "gauge", MEMBER,
           "After so long the service sends an unacked delivery again.", _MEMBER, "ack_timeout_seconds"),
    Metric("ingest_stream_connected", "gauge", MEMBER,
           "1 while the stream is confirmed: it has brought something, or been connected for 5 s.",
           _MEMBER, "stream_connected"),
    Metric("ingest_covered_until_timestamp_seconds", "gauge", MEMBER,
           "All that the service had for this member until then has been received. Events are lost in "
           "history - (now - this): the one number to watch.", _MEMBER, "covered_until"),
    Metric("ingest_history_seconds", "gauge", MEMBER, "How long the service keeps events (--history).",
           _MEMBER, "history_seconds"),

    Metric("child_restarts_total", "counter", CHILD, "Times that a child process had died and was started again.",
           ("child",)),
    Metric("ready", "gauge", CHILD, "1 while /readyz answers 200."),

    Metric("publish_epochs_total", "counter", JOB, "Publications: outcome committed or failed.",
           ("outcome",), "epochs"),
    Metric("publish_seconds", "gauge", JOB, "How long the last epoch took.", (), "publish_seconds"),
    Metric("publish_last_success_timestamp_seconds", "gauge", JOB,
           "When publishing last ended well, also with nothing to publish.", (), "publish_success"),
    Metric("erase_erasures_total", "counter", JOB, "Erasures: outcome finished or failed.", ("outcome",), "erasures"),
    Metric("erase_seconds", "gauge", JOB, "How long the last look for revocations took, erasures included.",
           (), "erase_seconds"),
    Metric("erase_last_success_timestamp_seconds", "gauge", JOB,
           "When erasing last ended well, also with nothing to erase.", (), "erase_success"),
    Metric("register_registrations_total", "counter", JOB,
           "Times that the Iceberg tables were brought up: outcome done or failed.", ("outcome",), "registrations"),
    Metric("register_seconds", "gauge", JOB, "How long it took last.", (), "register_seconds"),
    Metric("register_last_success_timestamp_seconds", "gauge", JOB, "When that last ended well.",
           (), "register_success"),
    Metric("audit_passed", "gauge", JOB, "1 if the last audit found no difference; deep says how it looked.",
           ("deep",)),
    Metric("audit_findings", "gauge", JOB, "Differences that the last audit found.", ("deep",)),
    Metric("audit_last_timestamp_seconds", "gauge", JOB, "When the last audit ended.", ("deep",)),

    Metric("lake_received_deliveries_total", "counter", LAKE,
           "Deliveries that committed epochs hold, redeliveries included; from the manifests, as the next five.",
           ("subscription",)),
    Metric("lake_published_deliveries_total", "counter", LAKE, "Deliveries that became a row, erased since or not.",
           ("table",)),
    Metric("lake_duplicate_deliveries_total", "counter", LAKE, "Deliveries that were published before.", ("table",)),
    Metric("lake_quarantined_deliveries_total", "counter", LAKE, "Deliveries that could not become a row.",
           ("reason",)),
    Metric("lake_erased_deliveries_total", "counter", LAKE,
           "Deliveries that consent kept from being published, and rows that were taken out again.", ("table",)),
    Metric("lake_unreadable_deliveries_total", "counter", LAKE,
           "Deliveries whose segment could not be read; less again when one is restored."),
    Metric("lake_rows", "gauge", LAKE, "Rows of a table now.", ("table",)),
    Metric("lake_files", "gauge", LAKE, "Files of a table.", ("table",)),
    Metric("lake_bytes", "gauge", LAKE, "Bytes of a table's files.", ("table",)),
    Metric("lake_newest_event_timestamp_seconds", "gauge", LAKE, "Time of a table's newest event.", ("table",)),
    Metric("lake_journal_deliveries", "gauge", LAKE, "Deliveries that wait in the journal to be published."),
    Metric("lake_journal_segments", "gauge", LAKE, "Segments that wait."),
    Metric("lake_journal_bytes", "gauge", LAKE, "Bytes of those."),
    Metric("lake_journal_oldest_timestamp_seconds", "gauge", LAKE,
           "When the oldest segment that waits was written; absent while nothing waits."),
    Metric("lake_committed_epoch", "gauge", LAKE, "The last committed epoch."),
    Metric("lake_committed_timestamp_seconds", "gauge", LAKE, "When it was committed."),
    Metric("lake_covered_until_timestamp_seconds", "gauge", LAKE,
           "Up to when the lake holds all that the service sent, as far as segments and manifests say.",
           ("subscription",)),
    Metric("lake_gaps_total", "counter", LAKE, "Recorded gaps: times whose events the service no longer had."),
    Metric("lake_gap_seconds_total", "counter", LAKE, "How long they are together."),
    Metric("lake_retained_bytes", "gauge", LAKE, "Bytes of the retained copies of what is published."),
    Metric("lake_erasures_waiting", "gauge", LAKE,
           "What nobody has obeyed yet: kind revocation (published), request (begun), tenant (answered by hand).",
           ("kind",)),
    Metric("lake_erasure_oldest_timestamp_seconds", "gauge", LAKE,
           "When the erasure was requested that is not finished; absent if there is none."),
    Metric("lake_look_timestamp_seconds", "gauge", LAKE, "When the lake was looked at; its figures are of then."),
    Metric("lake_look_seconds", "gauge", LAKE, "How long that look took."),

    Metric("process_resident_memory_bytes", "gauge", PROCESS, "Memory in use.", ("process",)),
    Metric("process_cpu_seconds_total", "counter", PROCESS, "Processor time used since the process was started.",
           ("process",)),
    Metric("build_info", "gauge", PROCESS, "1; the label says which version this is.", ("version",)),
)
# fmt: on

BY_NAME: Final = MappingProxyType({metric.name: metric for metric in METRICS})


def of_children() -> tuple[Metric, ...]:
    """Those that children report as facts."""
    return tuple(metric for metric in METRICS if metric.fact)
