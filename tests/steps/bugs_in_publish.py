"""Bugs to plant where epochs become tables: each function puts one into the real rooms.

Each is what a reasonable person might have written.
"""

import contextlib
import re
from dataclasses import replace
from datetime import UTC

import bugs_in_epochs
import pyarrow as pa
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.events import tables
from wgtwo_pipeline.lake import (
    checkpoint,
    deduplicate,
    epochs,
    history,
)
from wgtwo_pipeline.publish import decode, rooms, shard, write


def drop_quarantine(patches, but=lambda reason: False):
    original = decode.suppress

    def suppress(*arguments, **named):
        found = original(*arguments, **named)
        quarantine = found.decoded.quarantine
        keep = pa.array([but(reason) for reason in quarantine["reason"].to_pylist()], pa.bool_())
        return replace(found, decoded=replace(found.decoded, quarantine=quarantine.filter(keep)))

    patches.setattr(decode, "suppress", suppress)


def drop_unknown(patches):
    drop_quarantine(patches, lambda reason: reason != "unknown_event")


def drop_and_do_not_account(patches):
    drop_unknown(patches)
    bugs_in_epochs.without_accounting(patches)


def lose_an_outcome(patches):
    """A runner that loses one output, once."""
    original, lost = rooms.Commit.process, []

    def process(self, element):
        epoch, outcomes = element
        outcomes = list(outcomes)
        if not lost:
            lost.append(outcomes.pop())
        return original(self, (epoch, outcomes))

    patches.setattr(rooms.Commit, "process", process)


def lose_an_outcome_and_do_not_account(patches):
    lose_an_outcome(patches)
    bugs_in_epochs.without_accounting(patches)


def quarantine_by_partition(patches):
    original = shard._new_in_quarantine

    def quarantine(store, rows, past):
        for _, part in tables.partitions(rows):
            yield from original(store, part, past)

    patches.setattr(shard, "_new_in_quarantine", quarantine)


def in_the_runners_order(patches):
    patches.setattr(shard, "sorted", lambda parts: parts, raising=False)


def not_within_the_epoch(patches):
    def rows(store, rows, identity, files):
        times = pa.compute.min_max(rows["timestamp"])
        ends = times["min"].as_py(), times["max"].as_py()
        earlier = deduplicate.earlier_identities(store, files, identity, *ends)
        known = {tuple(row.values()) for table in earlier for row in table.select(list(identity)).to_pylist()}
        new = [tuple(row.values()) not in known for row in rows.select(list(identity)).to_pylist()]
        return rows.filter(pa.array(new)).sort_by("timestamp")

    patches.setattr(deduplicate, "rows", rows)


def not_against_earlier_epochs(patches):
    patches.setattr(history.History, "files", lambda *_: [])


def without_the_checkpoint(patches):
    patches.setattr(checkpoint.Checkpoint, "files", lambda *_: [])


def old_history(patches):
    original, kept = history.before, {}

    def before(store, epoch):
        past = original(store, epoch)
        return past and kept.setdefault(store, past)

    patches.setattr(history, "before", before)


def only_the_same_time_range(patches):
    """Files are taken to hold what is strictly within their times."""
    original = deduplicate.earlier_identities

    def earlier(store, files, identity, low, high):
        inside = [file for file in files if file.min_timestamp < high and file.max_timestamp > low]
        return original(store, inside, identity, low, high)

    patches.setattr(deduplicate, "earlier_identities", earlier)


def own_parameters(patches):
    original, kept = rooms.Write.process, write.write

    def process(self, element):
        mine = self._settings.parameters.rows_per_file

        def with_mine(store, rows, table, epoch, parameters):
            return kept(store, rows, table, epoch, replace(parameters, rows_per_file=mine))

        write.write = with_mine
        try:
            yield from original(self, element)
        finally:
            write.write = kept

    patches.setattr(rooms.Write, "process", process)


def own_groups(patches):
    original = rooms.Seal.process

    def process(self, _):
        found = list(original(self, None))
        if not found:
            return []
        mine = self._settings.parameters.rows_per_group
        sealed = epochs.sealed(self.store, found[0].epoch)
        return epochs.groups(replace(sealed, parameters=replace(sealed.parameters, rows_per_group=mine)))

    patches.setattr(rooms.Seal, "process", process)


def named_by_clock(patches):
    original = write._key

    def key(rows, table, epoch, number, parameters):
        name = original(rows, table, epoch, number, parameters)
        stamp = int(epochs.datetime.now(UTC).timestamp() * 1000) % 1000
        return re.sub(r"-\d{3}\.parquet", f"-{stamp:03d}.parquet", name)

    patches.setattr(write, "_key", key)


def assume_the_file_was_put(patches):
    class Trusting:
        def __init__(self, store):
            self._store = store

        def create(self, key, data):
            with contextlib.suppress(LakeError):
                self._store.create(key, data)

    original = write.write
    patches.setattr(write, "write", lambda store, *rest: original(Trusting(store), *rest))


def another_name_after_a_failure(patches):
    original = write.write

    def again(store, rows, table, epoch, parameters):
        try:
            return original(store, rows, table, epoch, parameters)
        except LakeError:
            patches.setattr(write, "_key", lambda *a, key=write._key: key(*a).replace("-000.", "-100."))
            return original(store, rows, table, epoch, parameters)

    patches.setattr(write, "write", again)


def manifest_first(patches):
    held_back = []

    class Later:
        def __init__(self, store):
            self._store = store

        def create(self, key, data):
            held_back.append((key, data))

    original, commit = write.write, epochs.commit
    patches.setattr(write, "write", lambda store, *rest: original(Later(store), *rest))

    def commit_first(store, sealed, outcomes):
        made = commit(store, sealed, outcomes)
        while held_back:
            store.create(*held_back.pop(0))
        return made

    patches.setattr(epochs, "commit", commit_first)
