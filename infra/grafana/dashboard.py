"""Writes the dashboard for Grafana: `python infra/grafana/dashboard.py` writes dashboard.json beside it.

Needs grafana-foundation-sdk, a dependency for development only. Of the lake's figures the largest is taken: several
processes may show the same lake.
"""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement

FILE = Path(__file__).with_name("dashboard.json")
PANELS = {
    "Is anything lost?": (
        (
            *("Time until events are lost", "s"),
            "wgtwo_ingest_history_seconds - (time() - wgtwo_ingest_covered_until_timestamp_seconds)",
            "{{subscription}} {{member}}",
        ),
        ("Ready", "none", "min(wgtwo_ready)", "ready"),
        ("Gaps", "none", "max(wgtwo_lake_gaps_total)", "gaps"),
    ),
    "Ingest": (
        (
            *("Deliveries acked", "ops"),
            "sum by (subscription) (rate(wgtwo_ingest_acked_deliveries_total[$__rate_interval]))",
            "{{subscription}}",
        ),
        (
            *("Delivery to ack, 99 %", "s"),
            (
                "histogram_quantile(0.99, sum by (subscription, le) "
                "(rate(wgtwo_ingest_delivery_to_ack_seconds_bucket[$__rate_interval])))"
            ),
            "{{subscription}}",
        ),
        (
            *("Writing a segment, 99 %", "s"),
            (
                "histogram_quantile(0.99, sum by (subscription, le) "
                "(rate(wgtwo_ingest_segment_write_seconds_bucket[$__rate_interval])))"
            ),
            "{{subscription}}",
        ),
        ("Oldest unacked", "s", "wgtwo_ingest_oldest_unacked_seconds", "{{subscription}} {{member}}"),
        (
            *("In flight, of the most", "percentunit"),
            "wgtwo_ingest_in_flight_deliveries / wgtwo_ingest_max_in_flight_deliveries",
            "{{subscription}} {{member}}",
        ),
        (
            *("Received", "Bps"),
            "sum by (subscription) (rate(wgtwo_ingest_received_bytes_total[$__rate_interval]))",
            "{{subscription}}",
        ),
        (
            *("Failures", "ops"),
            (
                "sum(rate(wgtwo_ingest_lake_write_failures_total[$__rate_interval])) "
                "+ (sum(rate(wgtwo_ingest_failed_acks_total[$__rate_interval])) or vector(0))"
            ),
            "lake writes and acks",
        ),
    ),
    "Lake": (
        ("Waiting to be published", "short", "max(wgtwo_lake_journal_deliveries)", "deliveries"),
        (
            *("Published", "ops"),
            "max by (table) (rate(wgtwo_lake_published_deliveries_total[$__rate_interval]))",
            "{{table}}",
        ),
        (
            *("Newest event is old", "s"),
            "time() - max by (table) (wgtwo_lake_newest_event_timestamp_seconds)",
            "{{table}}",
        ),
        ("Rows", "short", "max by (table) (wgtwo_lake_rows)", "{{table}}"),
        ("Bytes", "bytes", "max by (table) (wgtwo_lake_bytes)", "{{table}}"),
        ("Epoch", "none", "max(wgtwo_lake_committed_epoch)", "committed"),
        (
            *("Quarantined, of the received", "percentunit"),
            (
                "(sum(rate(wgtwo_lake_quarantined_deliveries_total[$__rate_interval])) or vector(0)) "
                "/ sum(rate(wgtwo_lake_received_deliveries_total[$__rate_interval]))"
            ),
            "share",
        ),
        ("Erasures that wait", "none", "max by (kind) (wgtwo_lake_erasures_waiting)", "{{kind}}"),
    ),
    "Processes": (
        ("Memory", "bytes", "wgtwo_process_resident_memory_bytes", "{{process}}"),
        ("Processors", "none", "rate(wgtwo_process_cpu_seconds_total[$__rate_interval])", "{{process}}"),
        ("Restarts", "none", "increase(wgtwo_child_restarts_total[1h])", "{{child}}"),
    ),
}
"""By row: title, unit, query and legend of each panel."""


def queries() -> list[str]:
    """Every query, as Prometheus is asked."""
    return [query for row in PANELS.values() for _, _, query, _ in row]


def text() -> str:
    """The dashboard as Grafana imports it."""
    board = (
        dashboard.Dashboard("wgtwo-pipeline")
        .uid("wgtwo-pipeline")
        .tags(["wgtwo"])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("utc")
        .readonly()
    )
    for title, row in PANELS.items():
        board = board.with_row(dashboard.Row(title))
        for name, unit, query, legend in row:
            board = board.with_panel(
                timeseries.Panel()
                .title(name)
                .unit(unit)
                .min(0)
                .span(8)
                .height(7)
                .legend(
                    VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
                )
                .with_target(prometheus.Dataquery().expr(query).legend_format(legend))
            )
    return (
        json.dumps(json.loads(JSONEncoder(sort_keys=True, indent=2).encode(board.build())), indent=1) + "\n"
    )


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
