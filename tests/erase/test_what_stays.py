"""What is left after an erasure: nothing that names anybody, and what a storage keeps is said."""

from lakes import at, journal, publish
from lakes_erased import HERS, HIS, broken_of, eraser, sms_of
from test_eraser import NUMBER, everything
from wgtwo_pipeline.erase.settings import ByHand
from wgtwo_pipeline.events import numbers
from wgtwo_pipeline.lake import erasures
from wgtwo_pipeline.lake.store import Protections


def test_what_stays_for_ever_names_nobody(store):
    """Receipts, manifests, seals, the plan and all else: a subject's token is in its request only."""
    for epoch in range(2):
        sms = (sms_of(owner, 10 * epoch + n, at(epoch)) for n, owner in enumerate((HERS, HIS)))
        journal(store, *sms, broken_of(HERS))
        publish(store)
    (receipt,) = eraser(store).erase(ByHand(numbers_file="given", everywhere=True), [HERS])
    assert receipt.rows == 3
    token = numbers.token(NUMBER.decode(), erasures.key(store))
    named = {key for key, data in everything(store) if token in data or token.hex().encode() in data}
    assert named == {erasures.request_key(1)}


def test_what_the_storage_keeps_is_in_the_receipt(store, monkeypatch):
    """Old versions, locks and copies that the pipeline cannot reach: each in words, and it is not complete."""
    seen = Protections(
        versioned=True, object_lock=True, replicated=True, deleted_segments=True, unseen=("object_lock",)
    )
    monkeypatch.setattr(type(store), "protections", lambda self: seen)
    monkeypatch.setattr(type(store), "delete_versions", lambda self, keys: f"{len(list(keys))} stay")
    journal(store, sms_of(HERS, 1, at(1)))
    publish(store)
    (receipt,) = eraser(store).erase(ByHand(numbers_file="given"), [HERS])
    assert not receipt.complete
    words = (
        "3 stay",
        "Object Lock: versions",
        "is replicated",
        "old versions of segments",
        "has Object Lock: give",
    )
    assert [word for word, note in zip(words, receipt.notes, strict=True) if word not in note] == []
