"""Text messages a minute and direction, as rows for BigQuery: exactly once, from what is published.

    python examples/windowed_counts.py --lake ./lake --stop-epoch 3 --output counts --runner FnApiRunner
    python examples/windowed_counts.py --lake s3://bucket/wgtwo --table project:dataset.table --runner FlinkRunner …

Without `--stop-epoch` it goes on for ever, on a runner that streams (docs/beam.md). Other options are Beam's.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, AfterWatermark
from apache_beam.transforms.window import FixedWindows
from wgtwo_pipeline.beam import ReadFromWgtwoLake

MINUTE = 60
SCHEMA = "minute:TIMESTAMP,direction:STRING,messages:INTEGER"


def counts(messages: Any) -> Any:
    """Rows of `sms` -> a row for each minute and direction; one more, with the new sum, for what comes late."""
    return (
        messages
        | "Minutes"
        >> beam.WindowInto(
            FixedWindows(MINUTE),
            trigger=AfterWatermark(late=AfterCount(1)),
            accumulation_mode=AccumulationMode.ACCUMULATING,
            allowed_lateness=24 * 60 * MINUTE,  # a redelivery after a long outage keeps its own time
        )
        | "Direction" >> beam.Map(lambda message: message.direction)
        | "Count" >> beam.combiners.Count.PerElement()
        | "Row" >> beam.ParDo(ToRow())
    )


class ToRow(beam.DoFn):
    """(direction, messages) -> what BigQuery takes for SCHEMA."""

    def process(
        self, counted: tuple[str, int], window: Any = beam.DoFn.WindowParam
    ) -> Iterator[dict[str, Any]]:
        """One row."""
        direction, messages = counted
        yield {
            "minute": window.start.to_utc_datetime(has_tz=True).isoformat(),
            "direction": direction,
            "messages": messages,
        }


def main() -> None:
    """Runs the pipeline to its end, if it has one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", default="./lake")
    parser.add_argument("--stop-epoch", type=int, help="the last epoch to read; without it there is no end")
    to = parser.add_mutually_exclusive_group(required=True)
    to.add_argument("--table", help="of BigQuery, project:dataset.table (needs apache-beam[gcp])")
    to.add_argument("--output", help="files whose names begin so, a JSON object in a line")
    own, beam_args = parser.parse_known_args()
    options = PipelineOptions(beam_args, streaming=own.stop_epoch is None)
    with beam.Pipeline(options=options) as pipeline:
        rows = counts(
            pipeline | ReadFromWgtwoLake(own.lake, "sms", columns=["direction"], stop_epoch=own.stop_epoch)
        )
        if own.table:
            rows | beam.io.WriteToBigQuery(own.table, schema=SCHEMA)
        else:
            lines = rows | "Line" >> beam.Map(json.dumps)
            lines | beam.io.WriteToText(own.output, file_name_suffix=".json")


if __name__ == "__main__":
    main()
