"""Registrars that can be stopped at any of their effects, and what must hold of the catalog afterwards.

An effect is one creation, replacement or deletion of an object of the lake. What happens at one of
them: the process dies before or after it, its answer is lost, or others do something before it goes on, as a zombie.
"""

import contextlib
import itertools
import json
import threading
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake import compacted, history, iceberg, receipts
from wgtwo_pipeline.register import log, register
from wgtwo_pipeline.register.catalogs import open_target
from wgtwo_pipeline.register.lake_catalog import LakeCatalog
from wgtwo_pipeline.register.store_io import StoreIO

WHATS = ("kill before", "kill after", "lose before", "lose after", "others before", "others after")


class KilledError(BaseException):
    """The process is dead: nothing of it may run on."""


@dataclass
class SteppedStore:
    """A store whose effects are numbered; at one of them `what` happens. `others` is what others do then."""

    inner: object
    at: int = -1
    what: str = ""
    others: object = None
    effects: list[str] = field(default_factory=list)
    dead: bool = False
    lock: object = field(default_factory=threading.Lock)

    def __hash__(self):
        return id(self)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def create(self, key, data):
        self._effect(f"create {key}", lambda: self.inner.create(key, data))

    def delete(self, keys):
        for key in list(keys):
            self._effect(f"delete {key}", lambda key=key: self.inner.delete([key]))

    def replace(self, key, data, unchanged):
        return self._effect(f"replace {key}", lambda: self.inner.replace(key, data, unchanged))

    def _effect(self, name, action):
        with self.lock:
            number = len(self.effects)
            self.effects.append(name)
        if self.dead:
            raise KilledError
        what = self.what if number == self.at else ""
        if what == "lose before":
            raise LakeError("scripted: not done")
        self._around(what, "before")
        answer = action()
        if what == "lose after":
            raise LakeError("scripted: done, the answer is lost")
        self._around(what, "after")
        return answer

    def _around(self, what, when):
        if what == f"kill {when}":
            self.dead = True
            raise KilledError
        if what == f"others {when}":
            self.others()


def bring_up(store):
    """One registrar, from its start to its end."""
    return register.bring_up(store, open_target("lake", store), history.load(store))


def stopped(store, at, what, others=None, work=bring_up):
    """Lets one registrar work until `what` happens at its effect `at`, then fresh ones until all is done.

    Returns whether there was such an effect.
    """
    stepped = SteppedStore(store, at, what, others)
    with contextlib.suppress(KilledError, LakeError):
        work(stepped)
    work(store)
    return len(stepped.effects) > at


def wrong(store):
    """Everything that is wrong with the catalog: each version of each table must be right, not only the newest."""
    return [*itertools.chain.from_iterable(_wrong_of(store, name) for name in published(store))]


def published(store):
    """By table: the files of the manifests, by epoch."""
    found = {}
    for manifest in history.load(store).manifests:
        for file in manifest.files:
            if file.table != "quarantine":
                found.setdefault(file.table, []).append((manifest.epoch, file))
    return found


def _wrong_of(store, name):
    expected = published(store)[name]
    numbers = sorted(version.number for version in iceberg.versions(store, name))
    if not numbers:
        yield f"{name} is not registered"
        return
    before = 0
    for number in numbers:
        table = LakeCatalog(store)._table(name, number)
        through = int(table.properties.get(iceberg.REGISTERED_THROUGH, 0))
        if through < before:
            yield f"{name} v{number} goes back from epoch {before} to {through}"
        before = through
        rows = {file.key: file.rows for epoch, file in expected if epoch <= through}
        followed = iceberg.through(table.properties)[1]
        rows |= {key: left for key, left in left_by(store, followed).items() if key in rows}
        try:
            shown = list(entries(table))
        except Exception as error:
            yield f"{name} v{number} cannot be read: {error!r}"
            continue
        shown = list(expanded(store, name, through, shown, rows))
        keys = [key for key, _ in shown]
        if len(keys) != len(set(keys)):
            yield f"{name} v{number} shows a file twice"
        gone = [StoreIO(store).key(entry.file_path) for entry in entries(table)]
        gone = [key for key in gone if number == numbers[-1] and key not in set(store.keys())]
        if gone:
            yield f"{name} v{number}, the newest, shows what is not there: {gone}"
        if dict(shown) != rows:
            yield f"{name} v{number} says epoch {through} and shows {sorted(keys)}"
    last = history.load(store).committed
    if through != last:
        yield f"{name} is at epoch {through} of {last}, with nobody left to go on"
    hint = iceberg.hint_key(name)
    hints = [int(bytes(store.read(key))) for key in store.keys(iceberg.ROOT) if key == hint]
    if not set(hints) <= set(numbers):
        yield f"{name}: the hint points to a version that is not there"


def left_by(store, erasure):
    """By key: the rows that erasures up to this one have left in files."""
    return {
        row["key"]: row["rows"]
        for number in range(1, erasure + 1)
        for row in receipts.objects(store, number).to_pylist()
    }


def expanded(store, name, through, shown, rows):
    """Keys and rows of the plain files that entries show, by themselves or as parts of closed days."""
    past, locations = history.load(store), StoreIO(store)
    by_day = {}
    for entry in shown:
        by_day.setdefault(log.day_of(locations.key(entry.file_path)), []).append(entry)
    for day, of_day in by_day.items():
        files = log.day_files(store, past, name, day, through)
        parts = compacted.stand_for([locations.key(entry.file_path) for entry in of_day], files)
        for entry in of_day:
            key = locations.key(entry.file_path)
            if compacted.PartPath.parse(key) is None:
                yield key, entry.record_count
                continue
            part = (parts or {}).get(key)
            if part is None or sum(rows[each] for each in part.keys) != entry.record_count:
                yield f"{key} stands for nothing", entry.record_count
            else:
                yield from ((each, rows[each]) for each in part.keys)


def entries(table):
    """The data files that a table shows."""
    snapshot = table.current_snapshot()
    for manifest in snapshot.manifests(table.io) if snapshot else ():
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            yield entry.data_file


def rows_of(table):
    """All rows, as Python values in an order of their own."""
    return in_order(table.scan().to_arrow())


def rows_of_files(store, name):
    """The rows of the plain files of a table."""
    tables = [pq.read_table(store.open(key), partitioning=None) for key in store.keys(f"tables/{name}/")]
    return in_order(pa.concat_tables(tables, promote_options="default"))


def in_order(rows):
    ordered = [dict(sorted(row.items())) for row in rows.to_pylist()]
    return sorted(ordered, key=lambda row: json.dumps(row, default=str))
