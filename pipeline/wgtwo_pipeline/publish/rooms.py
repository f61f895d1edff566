"""The rooms of publish as Beam DoFns: each unpacks, calls a room that knows no Beam, and passes on.

Any of them may be run again, or twice at once: all they write is named by the epoch and created once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from wgtwo_pipeline.events import tables
from wgtwo_pipeline.lake import epochs, history, lake_format
from wgtwo_pipeline.lake.manifest import Parameters
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.outcomes import Outcome
from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.publish import decode, shard, shelf
from wgtwo_pipeline.publish.decode import Key
from wgtwo_pipeline.publish.helper import Helper, Task

OUTCOMES: Final = "outcomes"


@dataclass(frozen=True)
class PublishSettings:
    """All that publish needs to know; picklable. `parameters` count for epochs that are sealed from now on."""

    lake: LakeLocation
    writer: str
    parameters: Parameters
    limits: epochs.Limits
    retention_seconds: float
    suppress_seconds: float = epochs.SUPPRESSED_FOR.total_seconds()
    shelf: int | None = None
    """Where decoded rows wait, if all rooms are in one process (see `shelf.py`); else the runner carries them."""


class Room(beam.DoFn):
    """A DoFn that works on the lake."""

    def __init__(self, settings: PublishSettings) -> None:
        self._settings = settings

    @property
    def store(self) -> Store:
        """This process's store of the lake."""
        return open_store(self._settings.lake)

    @property
    def helper(self) -> Helper | None:
        """The process that helps this one, if there is one."""
        return None if self._settings.shelf is None else shelf.helper(self._settings.shelf)


class Seal(Room):
    """Anything -> the groups of the open epoch, which it seals if there is none; nothing if nothing waits."""

    def process(self, _: object) -> Iterable[epochs.Group]:
        """Blocks for the lake only."""
        lake_format.ensure(self.store)  # it may have been emptied while segments were written
        kept = epochs.keep_descriptors(self.store, tables.current_descriptors())
        parameters = replace(self._settings.parameters, descriptors=kept)
        suppress_for = timedelta(seconds=self._settings.suppress_seconds)
        sealed = epochs.seal(
            self.store, parameters, self._settings.limits, self._settings.writer, suppress_for
        )
        return epochs.groups(sealed) if sealed else []


class Shared(Room):
    """A room that a helper shares, if there is one: what comes waits for its bundle's end, and both take of it."""

    def task(self, element: Any) -> Task[Any]:
        """What is to be done with an element, in whatever process."""
        raise NotImplementedError

    def give(self, result: Any) -> Iterator[Any]:
        """What the room passes on of what came of it."""
        raise NotImplementedError

    def start_bundle(self) -> None:
        """See Beam."""
        self._waiting: list[Task[Any]] = []

    def process(self, element: Any) -> Iterator[Any]:
        """Blocks for the lake only."""
        if self.helper:
            self._waiting.append(self.task(element))
        else:
            yield from self.give(self.task(element).do(self.store))

    def finish_bundle(self) -> Iterator[Any]:
        """In no order; all is in the global window."""
        if self.helper:
            for result in self.helper.share(self._waiting, self.store):
                yield from map(_in_global_window, self.give(result))


@beam.typehints.with_output_types(tuple[Key, tuple[int, bytes]])
class Decode(Shared):
    """Group of segments -> (Key, (group number, rows)), and an Outcome that counts what it read.

    Also keeps a copy of the group's deliveries, in one object instead of many.
    """

    def task(self, group: epochs.Group) -> Task[decode.Decoded]:
        """An event that cannot become a row becomes one of the quarantine."""
        return Task(decode.decode, (group,))

    def give(self, decoded: decode.Decoded) -> Iterator[Any]:
        """Where the runner need not carry rows, they stay here."""
        on = self._settings.shelf
        if decoded.outcome:
            yield beam.pvalue.TaggedOutput(OUTCOMES, (decoded.epoch, decoded.outcome))
        for key, rows in decoded.parts:
            yield key, (decoded.number, rows if on is None else shelf.put(on, rows))


@beam.typehints.with_output_types(tuple[int, Outcome])
class Write(Shared):
    """(Key, parts) -> (epoch, Outcome) for each partition, once its files are durable."""

    def task(self, element: tuple[Key, Iterable[tuple[int, bytes]]]) -> Task[list[shard.Written]]:
        """Each event once, sorted, in one Parquet object or several where they would be large."""
        (key, parts), on = element, self._settings.shelf
        rows = [(number, part if on is None else shelf.get(on, part)) for number, part in parts]
        return Task(shard.write, (key, rows))

    def give(self, written: list[shard.Written]) -> Iterator[shard.Written]:
        """One by one."""
        yield from written


class Commit(Room):
    """(epoch, all its Outcomes) -> its Manifest. The last step: nothing of the epoch is missing now."""

    def process(self, element: tuple[int, Iterable[Outcome]]) -> Iterator[object]:
        """Commits, then deletes what the manifest covers."""
        epoch, outcomes = element
        yield epochs.commit(self.store, epochs.sealed(self.store, epoch), outcomes)
        past = history.load(self.store, history.before(self.store, epoch))
        epochs.retire(self.store, past)
        epochs.expire(self.store, past, timedelta(seconds=self._settings.retention_seconds))


def _in_global_window(output: Any) -> Any:
    if isinstance(output, beam.pvalue.TaggedOutput):
        return beam.pvalue.TaggedOutput(output.tag, GlobalWindows.windowed_value(output.value))
    return GlobalWindows.windowed_value(output)
