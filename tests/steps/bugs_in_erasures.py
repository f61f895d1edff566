"""Bugs to plant where somebody is erased: each function puts one into the real rooms.

Each is what a reasonable person might have written.
"""

from dataclasses import replace
from datetime import timedelta

from scripted_lake import ScriptedStore
from wgtwo_pipeline.erase import finish, rewrite
from wgtwo_pipeline.erase import rooms as erase_rooms
from wgtwo_pipeline.events.forget import Subjects
from wgtwo_pipeline.lake import epochs, erasures, history, subjects
from wgtwo_pipeline.publish import rooms
from wgtwo_pipeline.run import erasing


def new_key_and_delete(patches):
    def put(self, key, data, unchanged):
        self.create(key.replace("-000.", "-900."), data)
        self.delete([key])

    patches.setattr(ScriptedStore, "replace", put)


def delete_when_empty(patches):
    original = rewrite.take

    def take(store, item, *rest):
        done = original(store, item, *rest)
        if done and not done.rows:
            store.delete([item.key])
        return done

    patches.setattr(rewrite, "take", take)


def put_over(patches):
    def put(self, key, data, unchanged):
        self._step("replace", key)
        self._bucket.put_over(key, bytes(memoryview(data).cast("B")))

    patches.setattr(ScriptedStore, "replace", put)


def before_it_is_listed(patches):
    def first(self, _erasure):
        return history.load(self._store).committed + 1

    patches.setattr(erasing.Eraser, "_first_clean_epoch", first)


def one_epoch_too_few(patches):
    original = erasing.Eraser._first_clean_epoch
    patches.setattr(erasing.Eraser, "_first_clean_epoch", lambda self, erasure: original(self, erasure) - 1)


def forget_to_suppress(patches):
    patches.setattr(erasures, "subjects", lambda store, numbers: Subjects(b""))


def forget_to_suppress_in_a_redo(patches):
    """Who has not sealed the epoch does not look whom the seal lists."""
    original = rooms.Decode.process

    def process(self, group):
        sealed = epochs.sealed(self.store, group.epoch)
        if sealed.sealed_by == self._settings.writer:
            yield from original(self, group)
            return
        kept = erasures.subjects
        erasures.subjects = lambda store, numbers: Subjects(b"")
        try:
            yield from original(self, group)
        finally:
            erasures.subjects = kept

    patches.setattr(rooms.Decode, "process", process)


def suppress_until_finished(patches):
    original = erasures.in_force

    def in_force(found, last, suppress_for, now):
        return original(found, last, timedelta(seconds=-1), now)

    patches.setattr(erasures, "in_force", in_force)


def token_in_the_receipt(patches):
    original = finish._notes

    def notes(store, *rest):
        yield from original(store, *rest)
        yield from erasures.request(store, erasures.listing(store).open).subjects

    patches.setattr(finish, "_notes", notes)


def without_account(patches):
    original = rewrite.parquet.reencode
    patches.setattr(
        rewrite.parquet,
        "reencode",
        lambda old, rows, metadata: original(old, rows.replace_schema_metadata(None), {}),
    )


def request_deleted_at_once(patches):
    def let_go(self):
        found = erasures.listing(self._store)
        self._store.delete([erasures.request_key(n) for n in found.receipts & set(found.requests)])

    patches.setattr(erasing.Eraser, "_let_go", let_go)


def without(table):
    """Does not look into the objects of one kind."""

    def plant(patches):
        original = erase_rooms.candidates
        patches.setattr(
            erase_rooms,
            "candidates",
            lambda *arguments: (item for item in original(*arguments) if item.table != table),
        )

    return plant


def receipt_first(patches):
    patches.setattr(rewrite, "take", lambda *_: None)


def whenever_it_was(patches):
    original = Subjects.until

    def until(self, text, kind, of):
        return original(self, text, kind, dict.fromkeys(of, 2**62))

    patches.setattr(Subjects, "until", until)
    patches.setattr(Subjects, "latest_us", 2**62)


def others_too(patches):
    """Whoever had a revoker in the same file."""
    original = rewrite.forget

    def forget(rows, whose, subjects):
        found = original(rows, whose, subjects)
        return replace_rows(found, rows) if found.erased else found

    def replace_rows(found, rows):
        return found._replace(rows=rows.slice(0, 0), erased=len(rows))

    patches.setattr(rewrite, "forget", forget)


def grants_overlooked(patches):
    patches.setattr(erasing.requests, "_grants", lambda *_: {})


def grace_forgotten(patches):
    original = erasing.requests.of_revocations
    patches.setattr(
        erasing.requests,
        "of_revocations",
        lambda store, past, new, grace: original(store, past, new, timedelta(minutes=-1)),
    )


def read_again_from_the_start(patches):
    """Every revocation that there ever was, each time; and requests without a subject."""
    original = erasing.requests.of_revocations

    def of_revocations(store, past, new, grace):
        return original(store, past, replace(new, read_through=past.committed), grace)

    patches.setattr(erasing.requests, "of_revocations", of_revocations)


def index_misses_an_epoch(patches):
    original = subjects.epochs_of
    patches.setattr(subjects, "epochs_of", lambda *arguments: original(*arguments) - {1})


def index_goes_on_too_late(patches):
    """With the second file of those that it does not know yet."""
    original = subjects._plus

    def plus(store, part, before, files, key):
        return original(store, part, before, files[part.through >= part.first :], key)

    patches.setattr(subjects, "_plus", plus)


def index_grows_over_what_is_there(patches):
    original = ScriptedStore.replace

    def put(self, key, data, unchanged):
        if key.startswith(subjects.ROOT):
            self._step("replace", key)
            self._bucket.put_over(key, bytes(memoryview(data).cast("B")))
        else:
            original(self, key, data, unchanged)

    patches.setattr(ScriptedStore, "replace", put)


def index_forgets(patches):
    """After an erasure it takes whole epochs out of the index."""
    original = subjects.follow
    patches.setattr(subjects, "follow", lambda store, files, *rest: original(store, [], *rest))


def index_keeps_who_was_erased(patches):
    patches.setattr(finish, "_follow", lambda *_: None)


def publish_what_is_restored(patches):
    patches.setattr(erasures, "horizon", lambda *_: None)
