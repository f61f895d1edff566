"""Says who arrives abroad, a second or two after the event was received: at least once, from the journal.

    python examples/roaming_alerts.py --lake ./lake --home NO --runner FnApiRunner

An alert is a JSON object in a line of standard output; put your own sink in place of `print_alert`. It goes on until
it is stopped. Deliveries may come again, as may all that a runner does anew after a failure: `id` tells an alert that
was seen before. `--start new` leaves out what was received before. Other options are Beam's.
"""

import argparse
import json
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from wgtwo_pipeline.beam import DecodeWgtwoEvents, ReadFromWgtwoJournal
from wgtwo_pipeline.rows import CountryChange


def alert(change: CountryChange) -> dict[str, Any]:
    """What to say of somebody who has arrived in another country."""
    return {
        "id": f"{change.timestamp.micros}-{change.sequence}",
        "at": change.timestamp.to_rfc3339(),
        "number": change.msisdn,
        "from": change.previous_name,
        "to": change.current_name,
    }


def print_alert(alert: dict[str, Any]) -> None:
    """At once, also into a pipe."""
    print(json.dumps(alert, ensure_ascii=False), flush=True)


def main() -> None:
    """Runs until it is stopped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", default="./lake")
    parser.add_argument("--home", default="NO", help="the country that is not abroad")
    parser.add_argument("--start", default="oldest", choices=["oldest", "new"])
    own, beam_args = parser.parse_known_args()
    with beam.Pipeline(options=PipelineOptions(beam_args, streaming=True)) as pipeline:
        deliveries = pipeline | ReadFromWgtwoJournal(own.lake, start=own.start)
        (
            (deliveries | DecodeWgtwoEvents("country_change")).rows
            | "Abroad" >> beam.Filter(lambda change: change.current_code != own.home)
            | "Alert" >> beam.Map(alert)
            | "Print" >> beam.Map(print_alert)
        )


if __name__ == "__main__":
    main()
