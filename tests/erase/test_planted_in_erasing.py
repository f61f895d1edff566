"""Bugs planted into the rooms that erase, and into those that follow: each makes a promise's own test fail.

`tests/steps` has those that a kill, a zombie or a redelivery shows; these show without one.
"""

import contextlib
import inspect
from dataclasses import replace

import pytest
import test_eraser as promised
from wgtwo_pipeline.audit import erased
from wgtwo_pipeline.erase import candidates, finish, requests
from wgtwo_pipeline.errors import AlreadyExistsError
from wgtwo_pipeline.events.forget import Subjects
from wgtwo_pipeline.lake import erasures, receipts
from wgtwo_pipeline.run import erasing

store = promised.store


def publish_what_is_restored(patches):
    patches.setattr(erasures, "horizon", lambda *_: None)


def keep_requests_for_ever(patches):
    patches.setattr(erasing.Eraser, "_let_go", lambda self: None)


def overlook_grants(patches):
    patches.setattr(requests, "_grants", lambda *_: {})


def take_a_number_that_is_over(patches):
    """Whoever could create his request was first."""

    def keep(store, asked):
        with contextlib.suppress(AlreadyExistsError):
            store.create(erasures.request_key(asked.erasure), asked.to_bytes())
            return True
        return False

    patches.setattr(requests, "keep", keep)


def take_revocations_of_the_grace(patches):
    """A second revocation within the grace of the first goes with the events, before anybody has obeyed it."""
    of_subjects(patches, lambda found: replace(found, consents_until_us=found.until_us))


def leave_the_number_with_others(patches):
    of_subjects(patches, lambda found: replace(found, everywhere_until_us={}))


def of_subjects(patches, change):
    original = erasures._plus
    patches.setattr(erasures, "_plus", lambda found, asked: change(original(found, asked)))


def show_what_waits(patches):
    patches.setattr(erasures, "pending", lambda store: Subjects(b""))


def take_a_tenant_for_answered(patches):
    patches.setattr(receipts, "unanswered", lambda found: ())


def leave_totals_as_published(patches):
    patches.setattr(receipts, "moved", lambda totals, found: totals)


def leave_out_files_with_later_events(patches):
    original = candidates.table_files

    def table_files(store, past):
        files = original(store, past)
        at = files.schema.get_field_index("min_timestamp")
        return files.set_column(at, files.schema.field(at), files["max_timestamp"])

    patches.setattr(candidates, "table_files", table_files)


def look_into_every_epoch(patches):
    patches.setattr(candidates.index, "epochs_of", lambda store, files, before, *rest: {*range(1, before)})


def leave_the_index_as_it_was(patches):
    patches.setattr(finish, "_follow", lambda *_: None)


def audit_without_looking_for_the_erased(patches):
    patches.setattr(erased, "check_forgotten", lambda *_: None)


def audit_without_the_quarantine(patches):
    patches.setattr(erased, "check_quarantine", lambda *_: None)


def audit_without_waiting_requests(patches):
    patches.setattr(erased, "check", lambda *_: None)


BUGS = {
    publish_what_is_restored: promised.test_after_a_while_nothing_says_who_it_was,
    keep_requests_for_ever: promised.test_after_a_while_nothing_says_who_it_was,
    take_a_number_that_is_over: promised.test_who_slept_until_another_request_of_its_number_was_over_asks_again,
    overlook_grants: promised.test_who_grants_again_has_events_again,
    take_revocations_of_the_grace: promised.test_a_second_revocation_within_the_grace_is_not_lost,
    leave_the_number_with_others: promised.test_by_hand_and_everywhere,
    show_what_waits: promised.test_what_waits_to_be_published_is_not_shown,
    take_a_tenant_for_answered: promised.test_a_tenants_revocation_waits_for_an_answer,
    leave_totals_as_published: promised.test_a_revocation_is_obeyed,
    leave_out_files_with_later_events: promised.test_who_grants_again_has_events_again,
    look_into_every_epoch: promised.test_the_index_spares_looking,
    leave_the_index_as_it_was: promised.test_the_index_spares_looking,
    audit_without_looking_for_the_erased: promised.test_what_is_put_back_is_found,
    audit_without_the_quarantine: promised.test_quarantined_revocations_are_warned_of,
    audit_without_waiting_requests: promised.test_an_open_request_fails_the_audit_after_a_while,
}


@pytest.mark.parametrize(("plant", "promise"), BUGS.items(), ids=[plant.__name__ for plant in BUGS])
def test_a_planted_bug_breaks_its_promise(store, monkeypatch, plant, promise):
    """Each is what a reasonable person might have written, and the named test would see it."""
    given = {"store": store, "monkeypatch": monkeypatch}
    plant(monkeypatch)
    # Not any exception: a bug that no longer fits the room raises a TypeError, and shows nothing.
    with pytest.raises((AssertionError, ValueError, IndexError, pytest.fail.Exception)):
        promise(**{name: given[name] for name in inspect.signature(promise).parameters})
