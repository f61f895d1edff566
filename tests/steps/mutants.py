"""Bugs to plant, at least one in each room; the checker must find every one of them.

Each is what a reasonable person might have written. `strikes` says where the world has to be disturbed for the bug
to show: what goes wrong, and at which steps (a pattern of "kind key"); without it, the undisturbed story shows it.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, timedelta

import pyarrow as pa
from scripted_lake import ScriptedStore
from stories import BACKLOG, BOTH_APIS, MISSED, PLAIN, QUIET, SILENT, SMALL
from wgtwo_pipeline.errors import AlreadyExistsError, LakeError
from wgtwo_pipeline.events import tables
from wgtwo_pipeline.ingest import ack, session, subscribe
from wgtwo_pipeline.ingest.session import Session
from wgtwo_pipeline.ingest.settings import IngestSettings
from wgtwo_pipeline.lake import (
    checkpoint,
    deduplicate,
    epochs,
    history,
    journal,
    manifest,
    outcomes,
    positions,
    retained,
)
from wgtwo_pipeline.publish import rooms, write
from world import ZIGZAG, Choice, Fault, World


@dataclass(frozen=True)
class Mutant:
    room: str
    does: str
    plant: Callable
    story: object
    what: str = ""
    steps: str = ""
    resumes: tuple = (None,)
    pause: float = 0.0

    def __str__(self):
        return f"{self.room}: {self.does}"

    def found(self):
        """What the checker says of the first world that shows the bug, the undisturbed one first; [] if none does."""
        told = World(self.story, mutate=self.plant)
        violations = told.run()
        for plan in self._plans(told.steps) if self.what else ():
            if violations:
                break
            violations = World(self.story, plan, self.plant).run()
        return violations

    def _plans(self, steps):
        for number, step in enumerate(steps):
            if re.match(self.steps, f"{step.kind} {step.key}"):
                for resume in self.resumes:
                    for way in ("", ZIGZAG):
                        yield {number: Fault(self.what, resume, way, pause=self.pause)}


def _ack_first(patches):
    def process(self, group):
        mine = subscribe.worker().session(self._settings, group.member)
        mine.ack(group.number, group.received)
        mine._acker._threads[0].turn()
        mine.journal(group.received)
        yield group

    patches.setattr(subscribe.Journal, "process", process)


def _assume_it_was_put(patches):
    def insist(self, put):
        with contextlib.suppress(LakeError):
            put()
        return 0

    patches.setattr(Session, "_insist", insist)


def _reuse_names(patches):
    original = journal.SegmentName.key.fget

    def key(self):
        return original(
            replace(self, writer="0", counter=1, created_at=self.created_at.replace(second=0, microsecond=0))
        )

    patches.setattr(journal.SegmentName, "key", property(key))


def _put_over(patches):
    def create(self, key, data):
        data = bytes(memoryview(data).cast("B"))
        self._step("put", key)
        self._bucket.overwrite(key, data)

    patches.setattr(ScriptedStore, "create", create)


def _give_up_recording(patches):
    original = positions.record_missed

    def record_missed(*arguments):
        with contextlib.suppress(LakeError):
            original(*arguments)

    patches.setattr(positions, "record_missed", record_missed)


def _cover_what_waits(patches):
    original = Session._cover
    patches.setattr(Session, "_cover", lambda self, received, had_room: original(self, [], True))


def _take_silence_for_room(patches):
    patches.setattr(ack.Acker, "in_flight", property(lambda self: 0))


def _gap_named_by_start(patches):
    patches.setattr(
        positions.Gap,
        "key",
        property(lambda self: f"{positions.GAPS}{self.subscription}/{self.start:%Y%m%dT%H%M%S.%fZ}.json"),
    )


def _no_overlap(patches):
    patches.setattr(IngestSettings, "overlap", property(lambda self: timedelta()))


def _never_record(patches):
    patches.setattr(session.positions, "record_missed", lambda *_: None)


def _seal_at_once(patches):
    """The next number, whatever has become of the last."""

    def seal(store, parameters, limits, writer):
        past = history.load(store)
        epochs.retire(store, past)
        seals = [info.key for info in store.list(manifest.EPOCHS) if info.key.endswith("sealed.json")]
        members = epochs._choose(history.backlog(store, past), limits)
        if not any(segment.rows for segment in members):
            return None
        new = manifest.Sealed(len(seals) + 1, epochs.datetime.now(UTC), writer, parameters, tuple(members))
        store.create(manifest.sealed_key(new.epoch), new.to_bytes())
        return new

    patches.setattr(epochs, "seal", seal)


def _only_newer(patches):
    original = history.backlog

    def backlog(store, past):
        last = ""
        if past.committed:
            key = manifest.sealed_key(past.committed)
            last = max(s.key for s in manifest.Sealed.from_bytes(key, store.read(key)).segments)
        return (info for info in original(store, past) if info.key > last)

    patches.setattr(history, "backlog", backlog)


def _forget_what_is_held(patches):
    def combine(*arguments, original=outcomes.combine):
        made = original(*arguments)
        return replace(made, retired_through=made.epoch)

    patches.setattr(epochs, "combine", combine)


def _drop_quarantine(patches, but=lambda reason: False):
    original = rooms.decode

    def decode(*arguments, **named):
        found = original(*arguments, **named)
        keep = pa.array([but(reason) for reason in found.quarantine["reason"].to_pylist()], pa.bool_())
        return replace(found, quarantine=found.quarantine.filter(keep))

    patches.setattr(rooms, "decode", decode)


def _drop_unknown(patches):
    _drop_quarantine(patches, lambda reason: reason != "unknown_event")


def _without_accounting(patches):
    def commit(store, sealed, outcomes):
        made = outcomes.combine(sealed.epoch, epochs.datetime.now(UTC), sealed.epoch - 1, outcomes)
        with contextlib.suppress(AlreadyExistsError):
            store.create(manifest.manifest_key(sealed.epoch), made.to_bytes())
        return made

    patches.setattr(epochs, "commit", commit)


def _drop_and_do_not_account(patches):
    _drop_unknown(patches)
    _without_accounting(patches)


def _lose_an_outcome(patches):
    """A runner that loses one output, once."""
    original, lost = rooms.Commit.process, []

    def process(self, element):
        epoch, outcomes = element
        outcomes = list(outcomes)
        if not lost:
            lost.append(outcomes.pop())
        return original(self, (epoch, outcomes))

    patches.setattr(rooms.Commit, "process", process)


def _lose_an_outcome_and_do_not_account(patches):
    _lose_an_outcome(patches)
    _without_accounting(patches)


def _quarantine_by_partition(patches):
    original = rooms.Deduplicate._quarantine

    def quarantine(self, key, rows, past):
        for _, part in tables.partitions(rows):
            yield from original(self, key, part, past)

    patches.setattr(rooms.Deduplicate, "_quarantine", quarantine)


def _in_the_runners_order(patches):
    patches.setattr(rooms, "sorted", lambda parts: parts, raising=False)


def _not_within_the_epoch(patches):
    def rows(store, rows, identity, files):
        times = pa.compute.min_max(rows["timestamp"])
        ends = times["min"].as_py(), times["max"].as_py()
        earlier = deduplicate.earlier_identities(store, files, identity, *ends)
        known = {tuple(row.values()) for table in earlier for row in table.select(list(identity)).to_pylist()}
        new = [tuple(row.values()) not in known for row in rows.select(list(identity)).to_pylist()]
        return rows.filter(pa.array(new)).sort_by("timestamp")

    patches.setattr(deduplicate, "rows", rows)


def _not_against_earlier_epochs(patches):
    patches.setattr(history.History, "files", lambda *_: [])


def _without_the_checkpoint(patches):
    patches.setattr(checkpoint.Checkpoint, "files", lambda *_: [])


def _old_history(patches):
    original, kept = history.before, {}

    def before(store, epoch):
        past = original(store, epoch)
        return past and kept.setdefault(store, past)

    patches.setattr(history, "before", before)


def _only_the_same_time_range(patches):
    """Files are taken to hold what is strictly within their times."""
    original = deduplicate.earlier_identities

    def earlier(store, files, identity, low, high):
        inside = [file for file in files if file.min_timestamp < high and file.max_timestamp > low]
        return original(store, inside, identity, low, high)

    patches.setattr(deduplicate, "earlier_identities", earlier)


def _own_parameters(patches):
    original = write.write

    def process(self, element):
        (epoch, table, _), rows, came = element
        sealed = epochs.sealed(self.store, epoch).parameters
        mine = replace(sealed, rows_per_file=self._settings.parameters.rows_per_file)
        files = original(self.store, rows, table, epoch, mine)
        reasons = write.reasons(rows) if table == rooms.QUARANTINE else {}
        count = manifest.TableCount(published=len(rows), duplicates=came - len(rows))
        yield epoch, outcomes.Outcome(tables={table: count}, files=tuple(files), reasons=reasons)

    patches.setattr(rooms.Write, "process", process)


def _own_groups(patches):
    original = rooms.Seal.process

    def process(self, _):
        found = list(original(self, None))
        if not found:
            return []
        mine = self._settings.parameters.rows_per_group
        sealed = epochs.sealed(self.store, found[0].epoch)
        return epochs.groups(replace(sealed, parameters=replace(sealed.parameters, rows_per_group=mine)))

    patches.setattr(rooms.Seal, "process", process)


def _named_by_clock(patches):
    original = write._key

    def key(rows, table, epoch, number, parameters):
        name = original(rows, table, epoch, number, parameters)
        stamp = int(epochs.datetime.now(UTC).timestamp() * 1000) % 1000
        return re.sub(r"-\d{3}\.parquet", f"-{stamp:03d}.parquet", name)

    patches.setattr(write, "_key", key)


def _assume_the_file_was_put(patches):
    class Trusting:
        def __init__(self, store):
            self._store = store

        def create(self, key, data):
            with contextlib.suppress(LakeError):
                self._store.create(key, data)

    original = write.write
    patches.setattr(write, "write", lambda store, *rest: original(Trusting(store), *rest))


def _another_name_after_a_failure(patches):
    original = write.write

    def again(store, rows, table, epoch, parameters):
        try:
            return original(store, rows, table, epoch, parameters)
        except LakeError:
            patches.setattr(write, "_key", lambda *a, key=write._key: key(*a).replace("-000.", "-100."))
            return original(store, rows, table, epoch, parameters)

    patches.setattr(write, "write", again)


def _manifest_first(patches):
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


def _retire_first(patches):
    original = epochs.commit

    def commit(store, sealed, outcomes):
        store.delete([segment.key for segment in sealed.segments])
        return original(store, sealed, outcomes)

    patches.setattr(epochs, "commit", commit)


def _retire_all(patches):
    def retire(store, past):
        if past.committed:
            store.delete([info.key for info in journal.segments(store)])

    patches.setattr(epochs, "retire", retire)


def _expire_all(patches):
    def expire(store, past, retention):
        copies = store.list(retained.ROOT)
        store.delete([c.key for c in copies if c.modified < epochs.datetime.now(UTC) - retention])

    patches.setattr(epochs, "expire", expire)


def _expire_at_once(patches):
    original = epochs.expire
    patches.setattr(epochs, "expire", lambda store, past, _: original(store, past, timedelta()))


def _checkpoint_misses_a_file(patches):
    original = checkpoint._table
    patches.setattr(checkpoint, "_table", lambda manifests: original(manifests)[1:])


def _checkpoint_forgets_the_last_one(patches):
    original = checkpoint.write
    patches.setattr(
        checkpoint, "write", lambda store, _, manifests: original(store, checkpoint.Checkpoint(), manifests)
    )


def _read_without_asking(patches):
    """Segments that a faster publisher has deleted count as lost."""
    patches.setattr(retained, "_is_committed", lambda *_: False)


REGROUPED = replace(PLAIN, choices=(Choice(), Choice(rows_per_group=100)))
PUT_SEGMENT, PUT_FILE = "put journal/", "put tables/"
PUT_SEAL = "put .*sealed.json"
SOON = (5, 15, 30, 60)

MUTANTS = (
    Mutant("subscribe", "acks before the segment is put", _ack_first, PLAIN),
    Mutant(
        "session", "takes a lost answer for success", _assume_it_was_put, PLAIN, "lose before", PUT_SEGMENT
    ),
    Mutant(
        "session",
        "goes on where a gap could not be recorded",
        _give_up_recording,
        MISSED,
        "lose before",
        "put gaps/",
    ),
    Mutant("session", "takes what a connection has lost for covered", _no_overlap, SILENT),
    Mutant("session", "records no gap", _never_record, MISSED),
    Mutant("session", "takes what waits at the service for covered", _cover_what_waits, BACKLOG),
    Mutant("session", "takes silence for room in flight", _take_silence_for_room, BACKLOG),
    Mutant(
        "positions",
        "names a gap by its start alone",
        _gap_named_by_start,
        MISSED,
        "kill after",
        "put gaps/",
        pause=2400.0,
    ),
    Mutant("journal", "names segments by the minute", _reuse_names, PLAIN),
    Mutant("store", "puts over what is there", _put_over, PLAIN, "freeze", PUT_SEAL),
    Mutant(
        "epochs", "seals without waiting for the last epoch", _seal_at_once, PLAIN, "kill after", PUT_SEAL
    ),
    Mutant("epochs", "takes only segments newer than the last", _only_newer, PLAIN, "freeze", PUT_SEGMENT),
    Mutant("epochs", "forgets what is held", _forget_what_is_held, PLAIN),
    Mutant(
        "epochs", "commits without accounting for a lost output", _lose_an_outcome_and_do_not_account, PLAIN
    ),
    Mutant("epochs", "deletes segments before the manifest", _retire_first, PLAIN),
    Mutant("epochs", "deletes all segments", _retire_all, SMALL),
    Mutant(
        "epochs",
        "expires copies of an open epoch",
        _expire_all,
        PLAIN,
        "freeze",
        "list retained/",
        (35, 40, 45),
    ),
    Mutant("epochs", "expires without regard to retention", _expire_at_once, QUIET),
    Mutant(
        "retained",
        "takes deleted segments for lost ones",
        _read_without_asking,
        PLAIN,
        "freeze",
        PUT_SEAL,
        (*SOON, None),
    ),
    Mutant(
        "decode", "groups segments as configured now", _own_groups, REGROUPED, "kill after", "put retained/"
    ),
    Mutant("decode", "drops what it does not know", _drop_unknown, PLAIN),
    Mutant("decode", "drops the quarantine", _drop_quarantine, PLAIN),
    Mutant("decode", "drops what it does not know, and nobody counts", _drop_and_do_not_account, PLAIN),
    Mutant("deduplicate", "does not look within the epoch", _not_within_the_epoch, BOTH_APIS),
    Mutant("deduplicate", "does not look at earlier epochs", _not_against_earlier_epochs, PLAIN),
    Mutant("deduplicate", "does not look into the checkpoint", _without_the_checkpoint, SMALL),
    Mutant("deduplicate", "looks at the history of another epoch", _old_history, PLAIN),
    Mutant("deduplicate", "leaves out the ends of a file's time range", _only_the_same_time_range, PLAIN),
    Mutant(
        "deduplicate",
        "splits the quarantine first",
        _quarantine_by_partition,
        PLAIN,
        "lose before",
        PUT_SEGMENT,
    ),
    Mutant("deduplicate", "keeps the runner's order", _in_the_runners_order, PLAIN, "kill after", PUT_FILE),
    Mutant("write", "shapes files as configured now", _own_parameters, SMALL, "kill after", PUT_SEAL),
    Mutant("write", "names files by the clock", _named_by_clock, PLAIN, "kill after", PUT_FILE),
    Mutant(
        "write", "takes a lost answer for success", _assume_the_file_was_put, PLAIN, "lose before", PUT_FILE
    ),
    Mutant(
        "write",
        "takes another name after a lost answer",
        _another_name_after_a_failure,
        PLAIN,
        "lose after",
        PUT_FILE,
    ),
    Mutant("flows", "commits before the files are put", _manifest_first, PLAIN),
    Mutant("checkpoint", "misses a file", _checkpoint_misses_a_file, PLAIN),
    Mutant("checkpoint", "forgets the checkpoint before", _checkpoint_forgets_the_last_one, SMALL),
)

LOSES_AN_OUTPUT = _lose_an_outcome
"""What a runner may do to publish at worst: the accounting refuses to commit that, and publishing begins again."""
