"""A user's graph: what a lake's table has, and what its journal has, by windows of event time.

Run as a program it is a job of its own: `reading_graph.py OUT LAKE ALLOWED_LAG [--endpoint HOST:PORT] BEAM OPTION…`.
When a window closes, its start and its events' sequences are appended to `OUT/lake.jsonl` or `OUT/journal.jsonl`;
the sequence of each event to `OUT/lake-events.jsonl` or `OUT/journal-events.jsonl`, as it comes.
"""

# mypy: disable-error-code="no-untyped-call, untyped-decorator, misc"
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import duckdb
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows
from wgtwo_pipeline.beam import (
    DecodeWgtwoEvents,
    ReadFromWgtwoEvents,
    ReadFromWgtwoJournal,
    ReadFromWgtwoLake,
)

WINDOW_SECONDS = 1
BOTH = ("lake", "journal")


def build(pipeline: Any, out: Path, lake: str, allowed_lag: float, endpoint: str | None = None) -> None:
    """Everything that it appends is nested: workers need not find this file."""
    folder = str(out)

    def append(name: str, line: object) -> None:
        with open(f"{folder}/{name}.jsonl", "a") as file:  # noqa: PTH123 - as cheap as it gets
            file.write(json.dumps(line) + "\n")

    def windows(rows: Any, name: str) -> None:
        def came(row: Any) -> int:
            append(f"{name}-events", row.sequence)
            return int(row.sequence)

        def closed(element: tuple[int, Any], window: Any = beam.DoFn.WindowParam) -> None:
            append(name, [int(window.start.micros) // 1_000_000, sorted(element[1])])

        _ = (
            rows
            | f"{name} events" >> beam.Map(came).with_output_types(int)
            | f"{name} windows" >> beam.WindowInto(FixedWindows(WINDOW_SECONDS))
            | f"{name} one key" >> beam.WithKeys(0)
            | f"{name} group" >> beam.GroupByKey()
            | f"{name} closed" >> beam.Map(closed)
        )

    table = pipeline | ReadFromWgtwoLake(
        lake, "sms", columns=["sequence"], poll_interval=0.5, allowed_lag=allowed_lag
    )
    windows(table, "lake")
    if endpoint:
        deliveries = pipeline | ReadFromWgtwoEvents(
            endpoint, lake=lake, plaintext=True, ack_timeout=3, poll_interval=0.5, allowed_lag=allowed_lag
        )
    else:
        deliveries = pipeline | ReadFromWgtwoJournal(lake, poll_interval=0.5, allowed_lag=allowed_lag)
    windows((deliveries | DecodeWgtwoEvents("sms")).rows, "journal")


def closed(out: Path, name: str) -> dict[int, list[list[int]]]:
    """Every window that has closed so far, by its start: its sequences, as often as it was appended."""
    found: dict[int, list[list[int]]] = {}
    for line in _lines(out / f"{name}.jsonl"):
        start, sequences = json.loads(line)
        found.setdefault(start, []).append(sequences)
    return found


def events(out: Path, name: str) -> list[int]:
    """The sequences of the events, as they came."""
    return [int(line) for line in _lines(out / f"{name}-events.jsonl")]


def by_sql(lake: Path) -> dict[int, list[int]]:
    """What the windows hold, says SQL over the table's files."""
    text = (
        f"SELECT floor(epoch(timestamp) / {WINDOW_SECONDS})::BIGINT * {WINDOW_SECONDS} AS start, "
        f"list(sequence ORDER BY sequence) FROM '{lake}/tables/sms/*/*.parquet' GROUP BY start"
    )
    return dict(duckdb.sql(text).fetchall())


def assert_equal_to_sql(out: Path, lake: Path, at_least: int = 20) -> None:
    """Closed windows are those of SQL, up to the last one: the table's exactly, the journal's with redeliveries."""
    wanted = by_sql(lake)
    for name in BOTH:
        found = closed(out, name)
        assert len(found) >= at_least, name
        assert [start for start in sorted(wanted) if start <= max(found)] == sorted(found), name
        for start, every in found.items():
            for sequences in every:
                got = sequences if name == "lake" else sorted(set(sequences))
                assert got == wanted[start], (name, start)


def _lines(path: Path) -> list[str]:
    """The whole ones."""
    return path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []


def main() -> None:
    """Runs until it is stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("lake")
    parser.add_argument("allowed_lag", type=float)
    parser.add_argument("--endpoint")
    mine, beams = parser.parse_known_args()
    pipeline = beam.Pipeline(options=PipelineOptions(beams, streaming=True))
    build(pipeline, mine.out, mine.lake, mine.allowed_lag, mine.endpoint)
    pipeline.run().wait_until_finish()


if __name__ == "__main__":
    main()
