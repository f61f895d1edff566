"""What an erasure asks of the storage depends on the subject's files, not on how many epochs the lake has."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from lakes import at, journal, publish
from lakes_erased import HERS, HIS, eraser, sms_of
from wgtwo_pipeline.erase.settings import ByHand
from wgtwo_pipeline.lake import checkpoint, epochs, history, recent
from wgtwo_pipeline.lake.layout import FilePath
from wgtwo_pipeline.lake.manifest import manifest_key, sealed_key
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

BY_HAND = ByHand(numbers_file="given")
OTHER = "+4790000003"
FILES = 9
COUNTED = ("create", "read", "read_tagged", "replace", "list", "open", "delete")
LOOKS = 12
"""So often an erasure, and the publishing of an epoch for it, look at what is committed."""


def filled(folder, number_of_epochs):
    """A lake in which HERS has events in some epochs, and HIS in all: all are copies of the first two."""
    store = open_store(LakeLocation(str(folder)))
    store.check()
    templates = []
    for number, owners in enumerate([(HERS, HIS), (HIS, OTHER)]):
        journal(store, *(sms_of(owner, 10 * number + n, at(n)) for n, owner in enumerate(owners)))
        templates.append((publish(store), epochs.sealed(store, number + 1)))
    later = range(3, number_of_epochs + 1)
    hers = later[:: len(later) // (FILES - 1)][: FILES - 1]
    for epoch in later:
        manifest, sealed = templates[epoch not in hers]
        (file,) = manifest.files
        path = FilePath.parse(file.key)
        key = file.key.replace(f"{path.epoch:010d}-", f"{epoch:010d}-")
        put(store, key, store.read(file.key))
        put(store, sealed_key(epoch), replace(sealed, epoch=epoch, segments=()).to_bytes())
        manifest = replace(manifest, epoch=epoch, files=(replace(file, key=key),), retained=())
        put(store, manifest_key(epoch), replace(manifest, retired_through=epoch - 1).to_bytes())
    with_checkpoints(store)
    return store


def put(store, key, data):
    """Without a store's care for what a crash would leave, of which thousands take a minute."""
    path = Path(store.uri(key))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def with_checkpoints(store):
    """What publishers would have left of them."""
    while True:
        past = history.load(store)
        due = past.manifests[: epochs.CHECKPOINT_EVERY_EPOCHS]
        if len(due) < epochs.CHECKPOINT_EVERY_EPOCHS:
            break
        checkpoint.write(store, past.base, due)
    every = epochs.RECENT_EVERY_EPOCHS
    recent.write(store, past.base, due[: len(due) // every * every], every)


def asked(store, monkeypatch, who):
    """The receipt of an erasure, and how many requests it made for the objects of each kind."""
    found = Counter()

    def counted(method):
        def count(self, key, *arguments, **more):
            found[key.partition("/")[0] if isinstance(key, str) else "deleted"] += 1
            return method(self, key, *arguments, **more)

        return count

    with monkeypatch.context() as patches:
        for name in COUNTED:
            patches.setattr(type(store), name, counted(getattr(type(store), name)))
        (receipt,) = eraser(store).erase(BY_HAND, [who])
    return receipt, found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("larger", [100, pytest.param(1_000, marks=pytest.mark.heavy)])
def test_requests_do_not_grow_with_the_lake(tmp_path, monkeypatch, larger):
    """The same subject's files cost as much in a lake of 1,000 epochs as in one of 10."""
    costs = {}
    for number_of_epochs in (10, larger):
        store = filled(tmp_path / str(number_of_epochs), number_of_epochs)
        asked(store, monkeypatch, "+4790000009")  # makes the index
        receipt, costs[number_of_epochs] = asked(store, monkeypatch, HERS)
        copies = len(list(store.list("retained/")))
        assert (receipt.files, receipt.erased["sms"]) == (FILES, FILES)
        assert receipt.looked_at == FILES + copies
    few, many = costs[10], costs[larger]
    for kind in ("tables", "subjects", "erasures", "retained", "journal"):
        assert many[kind] == few[kind]
    most = LOOKS * (epochs.RECENT_EVERY_EPOCHS + 3)  # manifests, what stands for the older ones, two listings
    assert max(many["epochs"], many["checkpoints"]) < most
    assert sum(many.values()) < sum(few.values()) + most
