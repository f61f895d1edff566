"""`audit` passes on what the pipeline writes, and names each thing that is wrong with anything else.

It is over 300 lines because a lake can lie in so many ways, each of them one short test.
"""

import json
from collections import Counter

import lakes
import pyarrow.parquet as pq
import pytest
from wgtwo_pipeline.audit import audit, lists
from wgtwo_pipeline.audit.findings import KINDS
from wgtwo_pipeline.audit.rows import Rows
from wgtwo_pipeline.lake import checkpoint, history, positions

SMS_1 = "tables/sms/day=2026-11-23/0000000001-000.parquet"
SMS_2 = "tables/sms/day=2026-11-24/0000000002-000.parquet"
QUARANTINE_2 = "quarantine/day=2026-11-23/0000000002.parquet"
MANIFEST_1 = "epochs/0000000001/manifest.json"


@pytest.fixture
def lake(store):
    """Two committed epochs, and a segment that waits."""
    lakes.lake_of_two_days(store)
    lakes.journal(store, lakes.sms(90))
    return store


def replace(store, key, data):
    store.delete([key])
    store.create(key, data)


def edit(store, key, change):
    """Changes the JSON of an object."""
    raw = json.loads(bytes(store.read(key)))
    change(raw)
    replace(store, key, json.dumps(raw).encode())


def rewrite(store, key, change, tells_manifest=False):
    """Changes the rows of a Parquet file; its manifest can be made to agree."""
    with store.open(key) as source:
        rows = change(pq.read_table(source, partitioning=None))
    target = store.uri(key)
    store.delete([key])
    pq.write_table(rows, _parent(target))
    if tells_manifest:
        import hashlib

        data = bytes(store.read(key))

        def agree(raw):
            for file in raw["files"]:
                if file["key"] == key:
                    file |= {
                        "rows": len(rows),
                        "bytes": len(data),
                        "sha256": hashlib.sha256(data).hexdigest(),
                    }

        edit(store, f"epochs/{key.rpartition('/')[2][:10]}/manifest.json", agree)


def _parent(path):
    from pathlib import Path

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return path


def found(store, deep=False):
    """The kinds and places of what an audit finds."""
    findings, _ = audit.examine(store, deep=deep)
    assert all(str(finding).count("\n") == 0 for finding in findings.kept)
    assert findings.total == len(findings.kept)
    return {(finding.kind, finding.where) for finding in findings.kept}


@pytest.fixture(params=[False, True], ids=["shallow", "deep"])
def deep(request):
    return request.param


def test_a_lake_as_published_passes(lake, deep):
    """Epochs with duplicates, a quarantined delivery and a waiting segment are in order."""
    findings, ledger = audit.examine(lake, deep=deep)
    assert findings.kept == []
    assert ledger.totals.received == 40
    assert findings.proved["epochs"] == 2
    assert findings.proved["journal_deliveries"] == 1
    if deep:
        assert (findings.proved["rows"], findings.proved["deliveries"]) == (38, 40)


def test_an_empty_lake_passes(store, deep):
    """Nothing is wrong with nothing."""
    assert found(store, deep) == set()


def test_hourly_partitions_pass(lake, deep):
    """A lake that went over to hours is in order."""
    lakes.publish(lake, partition_by="hour")
    lakes.journal(lake, lakes.sms(91, lakes.at(1)), lakes.sms(2, lakes.at(2), redelivered=True))
    lakes.publish(lake, partition_by="hour")
    assert found(lake, deep) == set()


def test_many_files_to_a_partition_pass(store, deep):
    """Files that were split are in order."""
    lakes.journal(store, *(lakes.sms(n, lakes.at(n)) for n in range(50)))
    lakes.publish(store, rows_per_file=7, row_group_rows=3)
    assert found(store, deep) == set()


@pytest.mark.parametrize("writes", [set(), {"sms"}, None])
def test_an_open_epoch_is_no_difference(lake, deep, writes):
    """Files of a sealed epoch that is not committed yet are expected, however many of them are there."""
    lakes.publish(lake, commits=False, writes=writes)
    assert found(lake, deep) == set()


def test_a_checkpoint_is_no_difference(lake, deep):
    """Manifests and the checkpoint that replaces them say the same."""
    past = history.load(lake)
    checkpoint.write(lake, past.base, past.manifests)
    lakes.publish(lake)
    assert found(lake, deep) == set()


@pytest.mark.parametrize("together", [1, 2, 3])
def test_a_listing_in_parts_is_the_listing(store, monkeypatch, together):
    """Whatever is expected and whatever is there: each object once, in order."""
    monkeypatch.setattr(lists, "LISTED_TOGETHER", together)
    keys = [f"tables/{name}" for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "c/1", "c/x/2", "c/x/3")]
    for key in ["quarantine/1", *keys, "zones/1"]:
        store.create(key, b"x")
    for expected in ([], keys, keys[1::2], ["tables/0", "tables/a/25", "tables/c/x/2", "tables/z"]):
        assert [info.key for info in lists.listed(store, "tables/", expected)] == keys


def test_a_deep_audit_of_many_epochs_of_a_day_reads_each_file_a_few_times(store, monkeypatch):
    """Not once for each epoch: a day of one-minute epochs would take a million reads."""
    for number in range(20):
        lakes.journal(store, lakes.sms(number, lakes.at(60 * number)))
        lakes.publish(store)
    queried = Counter()
    real = Rows._events
    monkeypatch.setattr(Rows, "_events", lambda self, keys: queried.update(keys) or real(self, keys))
    assert found(store, deep=True) == set()
    assert len(queried) == 20
    assert max(queried.values()) <= 3


def test_expired_copies_are_no_difference(lake, deep):
    """Retained copies go from the oldest on; what they held can then be proved no more, and is not asked for."""
    lake.delete([info.key for info in lake.list("retained/") if "0000000001-" in info.key])
    assert found(lake, deep) == set()


@pytest.mark.parametrize("key", [SMS_1, QUARANTINE_2])
def test_a_missing_file(lake, deep, key):
    """A file that a manifest names and that is gone."""
    lake.delete([key])
    assert found(lake, deep) == {("missing_file", key)}


@pytest.mark.parametrize(
    "key",
    [
        "tables/sms/day=2026-11-23/0000000001-001.parquet",
        "tables/sms/day=2026-11-23/0000000003-000.parquet",
        "tables/other/day=2026-11-23/part-0.parquet",
        "quarantine/day=2026-11-23/0000000001.parquet",
        SMS_1.replace(".parquet", " (1).parquet"),
        SMS_1.replace("0000000001", "._0000000001"),
        "tables/sms/day=2026-11-23/.~lock.0000000001-000.parquet#",
        "tables/sms/_SUCCESS",
        "quarantine/.DS_Store",
    ],
)
def test_an_extra_file(lake, deep, key):
    """A file that no manifest names, whatever its name: a plain reader would read it, or stumble over it."""
    lake.create(key, bytes(lake.read(SMS_1)))
    assert found(lake, deep) == {("extra_file", key)}


def test_an_extra_segment_name_or_copy(lake, deep):
    """What is no segment, no seal and nobody's copy is named."""
    strays = ["journal/v0.test/notes.txt", "epochs/0000000001/notes.txt", "retained/0000000001-0009.arrow"]
    for key in strays:
        lake.create(key, b"?")
    kinds = found(lake, deep=False)
    assert kinds == {("extra_file", key) for key in strays}


def test_a_truncated_file(lake, deep):
    """A file that is shorter than its manifest says."""
    replace(lake, SMS_1, bytes(lake.read(SMS_1))[:-10])
    assert ("changed_file", SMS_1) in found(lake, deep)
    assert {where for _, where in found(lake, deep)} == {SMS_1}


def test_a_changed_byte(lake):
    """A file with one other byte in its data: only reading it can tell."""
    data = bytearray(lake.read(SMS_1))
    data[len(data) // 3] ^= 1
    replace(lake, SMS_1, bytes(data))
    assert found(lake) == set()
    assert {where for _, where in found(lake, deep=True)} == {SMS_1}


def test_another_file_of_the_same_size(lake):
    """A file whose footer says something else than its manifest."""

    def swap(raw):
        for file in raw["files"]:
            if file["key"] == SMS_1:
                file["max_timestamp"] = file["min_timestamp"]

    edit(lake, MANIFEST_1, swap)
    assert found(lake) == found(lake, deep=True) == {("changed_file", SMS_1)}


def test_a_duplicate_row(lake):
    """An event that is in its table twice, with a manifest that agrees to it."""

    def twice(rows):
        return rows.take([*range(len(rows)), 0]).sort_by("timestamp")

    rewrite(lake, SMS_2, twice, tells_manifest=True)
    kinds = {kind for kind, _ in found(lake, deep=True)}
    assert ("duplicate_row", "tables/sms/day=2026-11-24") in found(lake, deep=True)
    assert "wrong_manifest" in kinds  # the counts do not agree to it


def test_a_row_lost_and_another_invented(lake):
    """Counts, sizes and digests all agree: only the deliveries that were received can tell."""

    def other(rows):
        return rows.set_column(1, "sequence", rows["sequence"].take([0, *range(1, len(rows))])).set_column(
            1, "sequence", _plus(rows["sequence"])
        )

    def _plus(column):
        import pyarrow.compute as pc

        return pc.add(column, 1000).cast("int64")

    rewrite(lake, SMS_2, other, tells_manifest=True)
    assert found(lake) == set()
    assert found(lake, deep=True) == {
        ("missing_row", "epoch 2, tables/sms/day=2026-11-24"),
        ("extra_row", "epoch 2, tables/sms"),
    }


def test_a_quarantined_delivery_lost(lake):
    """The quarantine is compared with what was received, too."""

    def other(rows):
        import pyarrow as pa

        return rows.set_column(rows.schema.names.index("payload"), "payload", pa.array([b"\xff other"]))

    rewrite(lake, QUARANTINE_2, other, tells_manifest=True)
    assert found(lake, deep=True) == {
        ("missing_row", "epoch 2, quarantine"),
        ("extra_row", "epoch 2, quarantine"),
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.update(received=raw["received"] + 1),
        lambda raw: raw.update(published=raw["published"] - 1, duplicates=raw["duplicates"] + 1),
        lambda raw: raw.update(quarantined=1, published=raw["published"] - 1),
        lambda raw: raw["tables"]["sms"].update(published=11, duplicates=0),
        lambda raw: raw["subscriptions"]["v0.test"].update(received=1),
        lambda raw: raw.update(epoch=7),
        lambda raw: raw.update(reasons={"undecodable": 1}),
        lambda raw: raw["retained"][0].update(rows=1),
        lambda raw: raw["files"].append(raw["files"][0]),
    ],
)
def test_a_manifest_that_lies(lake, deep, change):
    """Whatever count is changed, something else contradicts it."""
    edit(lake, MANIFEST_1, change)
    assert ("wrong_manifest", MANIFEST_1) in found(lake, deep)


def test_a_balanced_lie(lake):
    """A manifest that claims a duplicate more and a row less, in all its sums, is contradicted by the deliveries."""

    def lie(raw):
        raw.update(published=raw["published"] - 1, duplicates=raw["duplicates"] + 1)
        raw["tables"]["sms"] = {"published": 9, "duplicates": 2, "erased": 0}

    edit(lake, MANIFEST_1, lie)
    assert ("wrong_manifest", MANIFEST_1) in found(lake)
    rewrite(lake, SMS_1, lambda rows: rows.slice(1), tells_manifest=True)

    def shorter(raw):
        for file in raw["files"]:
            if file["key"] == SMS_1:
                file["min_timestamp"] = lakes.at(1).isoformat().replace("+00:00", "Z")

    edit(lake, MANIFEST_1, shorter)
    assert found(lake) == set()
    assert found(lake, deep=True) == {("missing_row", "epoch 1, tables/sms/day=2026-11-23")}


def test_a_manifest_before_the_checkpoint(lake):
    """An old manifest that was changed is found by --deep; the checkpoint speaks for it otherwise."""
    past = history.load(lake)
    checkpoint.write(lake, past.base, past.manifests)
    edit(lake, MANIFEST_1, lambda raw: raw["files"][0].update(rows=1))
    assert found(lake) == set()
    kinds = {kind for kind, _ in found(lake, deep=True)}
    assert {"wrong_manifest", "wrong_checkpoint"} <= kinds


def test_a_gap_in_epoch_numbers(lake, deep):
    """A manifest that is gone, and a seal that is gone."""
    lakes.publish(lake)
    lake.delete(["epochs/0000000002/manifest.json", "epochs/0000000002/sealed.json"])
    found_now = found(lake, deep)
    assert ("missing_epoch", "epochs/0000000002/manifest.json") in found_now
    assert ("missing_seal", "epochs/0000000002/sealed.json") in found_now


def test_a_seal_too_early(lake, deep):
    """An epoch that is sealed while the one before is not committed."""
    lake.create("epochs/0000000009/sealed.json", bytes(lake.read("epochs/0000000001/sealed.json")))
    assert ("missing_epoch", "epochs/0000000009/sealed.json") in found(lake, deep)


def test_unreadable_json(lake, deep):
    """A manifest that is no JSON is named, and the rest is looked at."""
    replace(lake, MANIFEST_1, b"{")
    assert ("unreadable", MANIFEST_1) in found(lake, deep)


def test_a_missing_retained_copy(lake, deep):
    """A copy that is gone while older ones are there has not expired."""
    key = "retained/0000000002-0000.arrow"
    lake.delete([key])
    assert found(lake, deep) == {("missing_copy", key)}


def test_a_changed_retained_copy(lake):
    """A copy with another byte is named by --deep."""
    key = "retained/0000000002-0000.arrow"
    data = bytearray(lake.read(key))
    data[len(data) // 2] ^= 1
    replace(lake, key, bytes(data))
    assert found(lake) == set()
    assert found(lake, deep=True) == {("unreadable", "epoch 2")}


def test_a_missing_segment(lake, deep):
    """An open epoch whose segment is gone can never be committed."""
    (segment,) = [info.key for info in lake.list("journal/")]
    lakes.publish(lake, commits=False)
    lake.delete([segment])
    assert found(lake, deep) == {("missing_segment", segment)}


def test_a_torn_segment(lake):
    """A waiting segment that is not whole is named by --deep."""
    (segment,) = [info.key for info in lake.list("journal/")]
    replace(lake, segment, bytes(lake.read(segment))[:-1])
    assert found(lake, deep=True) == {("unreadable", segment)}


def test_deliveries_that_could_not_be_read(lake, deep, run):
    """An epoch that had to do without a torn segment is no proof, until the segment is restored and published."""
    (key,) = [info.key for info in lake.list("journal/")]
    whole = bytes(lake.read(key))
    replace(lake, key, whole[:-1])
    lakes.journal(lake, lakes.sms(91))
    lakes.publish(lake)
    assert found(lake, deep) == {("lost", key)}
    code, out, _ = run("audit")
    assert code == 1
    assert "+ unreadable 1" in out
    assert f"UNREADABLE  {key}" in run("status")[1]
    replace(lake, key, whole)
    lakes.publish(lake)
    assert found(lake, deep) == set()


def test_missing_descriptors(lake, deep):
    """What an epoch is decoded with must be kept."""
    (key,) = [info.key for info in lake.list("descriptors/")]
    lake.delete([key])
    assert found(lake, deep) == {("missing_descriptors", key)}


def test_it_passes_while_others_publish(store, monkeypatch, deep):
    """A publisher that commits between any two looks of the audit makes no difference."""
    lakes.lake_of_two_days(store)
    real_list, sequence = type(store).list, [200]

    def list_and_publish(self, prefix, after=""):
        found = list(real_list(self, prefix, after))
        monkeypatch.setattr(type(store), "list", real_list)
        sequence[0] += 1
        lakes.journal(store, lakes.sms(sequence[0]), lakes.BROKEN + bytes([sequence[0] % 256]))
        lakes.publish(store, commits=sequence[0] % 2 == 0)
        monkeypatch.setattr(type(store), "list", list_and_publish)
        return iter(found)

    monkeypatch.setattr(type(store), "list", list_and_publish)
    for _ in range(4):
        assert found(store, deep) == set()
    monkeypatch.undo()
    assert history.load(store).committed > 6


def test_the_command_says_it_in_text_and_json(lake, run):
    """Exit 0 and `passed`, or exit 1 with a line for each finding; gaps in time are shown and fail nothing."""
    positions.record_missed(lake, "v0.test", lakes.at(0), lakes.at(60))
    code, out, _ = run("audit")
    assert code == 0
    assert out.splitlines()[-1] == "audit passed"
    assert "received 40 = published 37 + duplicates 2 + quarantined 1 + erased 0" in out
    assert out.startswith("GAP ")
    code, out, _ = run("audit", "--json")
    report = json.loads(out)
    assert (code, report["passed"], report["findings"], report["found"]) == (0, True, 0, [])
    assert [report[name] for name in ("received", "published", "duplicates", "quarantined", "erased")] == [
        *(40, 37, 2, 1, 0)
    ]
    assert report["gaps"][0]["subscription"] == "v0.test"
    assert report["tables"]["sms"] == {"published": 30, "duplicates": 2, "erased": 0}
    lake.delete([SMS_1])
    code, out, _ = run("audit")
    assert code == 1
    assert f"MISSING FILE  {SMS_1}: " in out
    assert out.splitlines()[-1] == "audit FAILED: 1 findings"
    code, out, _ = run("audit", "--deep", "--json")
    report = json.loads(out)
    assert (code, report["passed"], report["findings"]) == (1, False, 1)
    assert report["found"][0].keys() == {"kind", "where", "what"}
    assert report["found"][0]["kind"] in KINDS


def test_an_audit_changes_nothing(lake, deep):
    """Neither an object nor the time of one."""
    before = list(lake.list(""))
    found(lake, deep)
    assert list(lake.list("")) == before
