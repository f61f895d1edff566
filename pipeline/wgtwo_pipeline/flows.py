"""The three flows. Each reads top to bottom; they meet only in the lake."""

from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from wgtwo_pipeline.erase.rooms import Candidates, EraseSettings, Finish, Look, Plan, Rewrite
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.ingest.subscribe import Ack, Journal, Subscribe
from wgtwo_pipeline.publish.rooms import OUTCOMES, Commit, Decode, PublishSettings, Seal, Write


def ingest(root: Any, settings: IngestSettings, members: Sequence[Member]) -> Any:
    """Unbounded: subscribe, journal, ack. One fused stage, without shuffle, state, timer or window."""
    return (
        root
        | "Start" >> beam.Impulse()
        | "Members" >> beam.FlatMap(lambda _: members)
        | "Subscribe" >> beam.ParDo(Subscribe(settings))
        | "Journal" >> beam.ParDo(Journal(settings))
        | "Ack" >> beam.ParDo(Ack(settings))
    )


def publish(root: Any, settings: PublishSettings) -> Any:
    """Bounded: publishes one epoch, the open one or the next; yields its manifest, or nothing."""
    decoded = (
        root
        | "Start" >> beam.Impulse()
        | "Seal" >> beam.ParDo(Seal(settings))
        | "Spread" >> beam.Reshuffle()
        | "Decode" >> beam.ParDo(Decode(settings)).with_outputs(OUTCOMES, main="rows")
    )
    written = decoded.rows | "Partition" >> beam.GroupByKey() | "Write" >> beam.ParDo(Write(settings))
    return (
        (written, decoded[OUTCOMES])
        | "Outcomes" >> beam.Flatten()
        | "Epoch" >> beam.GroupByKey()
        | "Commit" >> beam.ParDo(Commit(settings))
    )


def erase(root: Any, settings: EraseSettings) -> Any:
    """Bounded: rewrites what holds something of the erasure's subjects; yields its receipt."""
    planned = (
        root
        | "Start" >> beam.Impulse()
        | "Candidates" >> beam.ParDo(Candidates(settings))
        | "Spread" >> beam.Reshuffle()
        | "Look" >> beam.ParDo(Look(settings))
        | "Found" >> beam.GroupByKey()
        | "Plan" >> beam.ParDo(Plan(settings))
    )
    return (
        planned
        | "Spread again" >> beam.Reshuffle()
        | "Rewrite" >> beam.ParDo(Rewrite(settings))
        | "Done" >> beam.GroupByKey()
        | "Receipt" >> beam.ParDo(Finish(settings))
    )
