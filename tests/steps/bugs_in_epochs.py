"""Bugs to plant where epochs are sealed, committed and retired: each function puts one into the real rooms.

Each is what a reasonable person might have written.
"""

import contextlib
from dataclasses import replace
from datetime import UTC, timedelta

from wgtwo_pipeline.errors import AlreadyExistsError
from wgtwo_pipeline.lake import (
    checkpoint,
    epochs,
    history,
    journal,
    manifest,
    outcomes,
    recent,
    retained,
)


def seal_at_once(patches):
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


def due_whatever_waits(patches):
    patches.setattr(
        epochs, "due", lambda store, past, enough: epochs.waiting(store, past, epochs.datetime.now(UTC))
    )


def due_by_the_newest(patches):
    """By what came last, so that where something always comes nothing ever is."""
    original = epochs.due

    def due(store, past, enough):
        ages = [info.modified for info in history.backlog(store, past)]
        old = ages and epochs.datetime.now(UTC) - max(ages) >= timedelta(seconds=enough.age_seconds)
        return bool(old) or original(store, past, replace(enough, age_seconds=1e9))

    patches.setattr(epochs, "due", due)


def due_by_age_alone(patches):
    original = epochs.due
    patches.setattr(
        epochs, "due", lambda store, past, enough: original(store, past, replace(enough, rows=10**9))
    )


def only_newer(patches):
    original = history.backlog

    def backlog(store, past):
        last = ""
        if past.committed:
            key = manifest.sealed_key(past.committed)
            last = max(s.key for s in manifest.Sealed.from_bytes(key, store.read(key)).segments)
        return (info for info in original(store, past) if info.key > last)

    patches.setattr(history, "backlog", backlog)


def forget_what_is_held(patches):
    def combine(*arguments, original=outcomes.combine):
        made = original(*arguments)
        return replace(made, retired_through=made.epoch)

    patches.setattr(epochs, "combine", combine)


def without_accounting(patches):
    def commit(store, sealed, outcomes):
        made = outcomes.combine(sealed.epoch, epochs.datetime.now(UTC), sealed.epoch - 1, outcomes)
        with contextlib.suppress(AlreadyExistsError):
            store.create(manifest.manifest_key(sealed.epoch), made.to_bytes())
        return made

    patches.setattr(epochs, "commit", commit)


def retire_first(patches):
    original = epochs.commit

    def commit(store, sealed, outcomes):
        store.delete([segment.key for segment in sealed.segments])
        return original(store, sealed, outcomes)

    patches.setattr(epochs, "commit", commit)


def retire_all(patches):
    def retire(store, past):
        if past.committed:
            store.delete([info.key for info in journal.segments(store)])

    patches.setattr(epochs, "retire", retire)


def expire_all(patches):
    def expire(store, past, retention):
        copies = store.list(retained.ROOT)
        store.delete([c.key for c in copies if c.modified < epochs.datetime.now(UTC) - retention])

    patches.setattr(epochs, "expire", expire)


def expire_at_once(patches):
    original = epochs.expire
    patches.setattr(epochs, "expire", lambda store, past, _: original(store, past, timedelta()))


def take_late_for_young(patches):
    """A copy is as old as its object: also one that a zombie brings back when it has expired."""
    patches.setattr(retained, "_is_over", lambda *_: False)


def checkpoint_misses_a_file(patches):
    original = checkpoint.files_of
    patches.setattr(checkpoint, "files_of", lambda manifests: original(manifests)[1:])


def checkpoint_forgets_the_last_one(patches):
    original = checkpoint.write
    patches.setattr(
        checkpoint, "write", lambda store, _, manifests: original(store, checkpoint.Checkpoint(), manifests)
    )


def read_without_asking(patches):
    """Segments that a faster publisher has deleted count as lost."""
    patches.setattr(history, "is_committed", lambda *_: False)


def recent_manifests_since_the_last_time(patches):
    """Not since the checkpoint."""
    original = recent.write
    patches.setattr(
        recent, "write", lambda store, base, manifests, _: original(store, base, manifests[-1:], 1)
    )
