"""The rooms of erase as Beam DoFns: each unpacks, calls a room that knows no Beam, and passes on.

Any of them may be run again, or twice at once: the plan and the receipt that are there count, and an object that has
been rewritten says so. No number and no token is in what is passed on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import apache_beam as beam
import pyarrow as pa

from wgtwo_pipeline.erase import finish, rewrite
from wgtwo_pipeline.erase.candidates import candidates
from wgtwo_pipeline.erase.rewrite import Done, Planned
from wgtwo_pipeline.events.forget import Subjects
from wgtwo_pipeline.lake import erasures, history, receipts
from wgtwo_pipeline.lake.holds import Item
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.receipts import Receipt
from wgtwo_pipeline.lake.store import LakeLocation, Store

GROUP_OBJECTS = 256
GROUP_BYTES = 64 << 20
LOOKS_AT_ONCE = 8
REWRITES_AT_ONCE = 4
LARGE_BYTES = 16 << 20
"""An object of more is rewritten while no other is."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class EraseSettings:
    """All that the flow needs to know; picklable, without anything personal.

    The erasure's request is in the lake; `first_clean_epoch` was the first whose seal lists it, and is committed.
    """

    lake: LakeLocation
    erasure: int
    first_clean_epoch: int


@dataclass(frozen=True)
class Looked:
    """What was found in some of the objects."""

    objects: int = 0
    found: tuple[Planned, ...] = ()


class Room(beam.DoFn):
    """A DoFn that works on the lake for one erasure."""

    def __init__(self, settings: EraseSettings) -> None:
        self._settings = settings

    @property
    def store(self) -> Store:
        """This process's store of the lake."""
        return open_store(self._settings.lake)

    def subjects(self) -> Subjects:
        """Whom the erasure's request names. No property: Beam looks at each of those while it builds a graph."""
        return erasures.subjects(self.store, (self._settings.erasure,))


class Candidates(Room):
    """Anything -> groups of the objects that may hold something; an empty one where there is a plan already."""

    def process(self, _: object) -> Iterator[tuple[Item, ...]]:
        """Lists what epochs before the first clean one have published, and their retained copies."""
        yield ()
        if self._settings.erasure not in erasures.listing(self.store).plans:
            past = history.load(self.store)
            items = candidates(self.store, past, self._settings.first_clean_epoch, self.subjects())
            while group := tuple(islice(items, GROUP_OBJECTS)):
                yield group


class Look(Room):
    """Group of objects -> (erasure, Looked)."""

    def process(self, group: tuple[Item, ...]) -> Iterator[tuple[int, Looked]]:
        """Looks into several at once, a row group of each."""
        look = partial(rewrite.look, self.store, subjects=self.subjects())
        found = tuple(each for each in _at_once(look, group, LOOKS_AT_ONCE) if each)
        yield self._settings.erasure, Looked(len(group), found)


class Plan(Room):
    """(erasure, all Looked) -> groups of Planned, once the plan is durable; an empty one where there is nothing."""

    def process(self, element: tuple[int, Iterable[Looked]]) -> Iterator[tuple[Planned, ...]]:
        """From here on the list is fixed: a plan that is there counts."""
        erasure, looked = element
        looked = list(looked)
        rows = [asdict(planned) for each in looked for planned in each.found]
        objects = sum(each.objects for each in looked)
        new = erasures.Plan(pa.Table.from_pylist(rows, erasures.PLAN), objects)
        plan = erasures.keep_plan(self.store, erasure, new)
        yield ()
        group: list[Planned] = []
        for planned in (Planned(**row) for row in plan.objects.to_pylist()):
            if group and sum(each.bytes for each in group) + planned.bytes > GROUP_BYTES:
                yield tuple(group)
                group = []
            group.append(planned)
        if group:
            yield tuple(group)


class Rewrite(Room):
    """Group of Planned -> (erasure, Done of each that held something), once they are durable in place of the old."""

    def process(self, group: tuple[Planned, ...]) -> Iterator[tuple[int, tuple[Done, ...]]]:
        """Rewrites several small ones at once; of those that are done already it reads what was done."""
        small = [each for each in group if each.bytes <= LARGE_BYTES]
        large = [each for each in group if each.bytes > LARGE_BYTES]
        done = [*_at_once(self._take, small, REWRITES_AT_ONCE), *map(self._take, large)]
        yield self._settings.erasure, tuple(each for each in done if each)

    def _take(self, planned: Planned) -> Done | None:
        item = Item.of(planned.key)
        assert item, planned.key
        return rewrite.take(self.store, item, self.subjects(), self._settings.erasure, planned.bytes)


class Finish(Room):
    """(erasure, all Done) -> its Receipt. The last step: nothing that was planned is left."""

    def process(self, element: tuple[int, Iterable[tuple[Done, ...]]]) -> Iterator[Receipt]:
        """Deletes what a versioned bucket still keeps of what was planned, then says what was done."""
        erasure, groups = element
        objects = pa.Table.from_pylist([asdict(done) for group in groups for done in group], receipts.DONE)
        yield finish.finish(self.store, erasure, self._settings.first_clean_epoch, objects.sort_by("key"))


def _at_once(function: Callable[[T], R], items: Sequence[T], at_once: int) -> Iterator[R]:
    with ThreadPoolExecutor(at_once) as threads:
        yield from threads.map(function, items)
