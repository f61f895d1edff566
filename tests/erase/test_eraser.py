"""Revocations are obeyed from the request to the receipt, on a lake in a folder.

It is over 300 lines because the planted bugs name the promises of an eraser by this one module.
"""

import time
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from lakes import NOON, at, journal, publish
from lakes_erased import CONSENTS, HERS, HIS, broken_of, consent, eraser, revoke, sms_of
from wgtwo_pipeline.ask import backlog
from wgtwo_pipeline.audit.audit import examine
from wgtwo_pipeline.erase.settings import ByHand
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.lake import erasures, history, receipts, subjects
from wgtwo_pipeline.lake import journal as segments
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

NUMBER = HERS.removeprefix("+").encode()
BY_HAND = ByHand(numbers_file="given")


@pytest.fixture
def store(tmp_path):
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    return store


def assert_audited(store, **totals):
    for deep in (False, True):
        findings, ledger = examine(store, deep=deep)
        assert findings.kept == []
        assert {name: getattr(ledger.totals, name) for name in totals} == totals


def column(store, name="sequence", table="sms"):
    found = []
    for info in store.list(f"tables/{table}/"):
        found += pq.read_table(store.uri(info.key), partitioning=None)[name].to_pylist()
    return sorted(found, key=str)


def everything(store):
    """Every object decompressed and decoded: what of it could hold a number."""
    for info in store.list(""):
        data = bytes(store.read(info.key))
        yield info.key, data
        if info.key.endswith(".parquet"):
            yield info.key, repr(pq.read_table(store.uri(info.key), partitioning=None).to_pylist()).encode()
        elif info.key.startswith("retained/"):
            yield info.key, repr(segments.decode(info.key, memoryview(data)).deliveries.to_pylist()).encode()


def assert_nowhere(store, number=NUMBER):
    holding = {key for key, data in everything(store) if number in data}
    assert not holding


def test_a_revocation_is_obeyed(store):
    """Her events go from tables, quarantine and copies, the revocation too; his stay, and the account says it all."""
    journal(store, *(sms_of(HERS, n, at(n)) for n in range(5)), *(sms_of(HIS, n, at(n)) for n in range(5, 8)))
    publish(store)
    journal(store, sms_of(HERS, 8, at(8)), broken_of(HERS), broken_of(HIS), revoke(HERS, 9, at(9)))
    publish(store)
    (receipt,) = eraser(store).erase()
    assert column(store) == [5, 6, 7]
    assert column(store, table="consent_revoke") == []
    assert receipt.erased == {"sms": 6, "quarantine": 1, "consent_revoke": 1}
    assert (receipt.subjects, receipt.copies, receipt.complete) == (1, 2, True)
    totals = receipts.moved(history.load(store).totals, receipts.read_all(store))
    assert (totals.received, totals.published, totals.quarantined, totals.erased) == (12, 3, 1, 8)
    assert_nowhere(store)
    assert list(eraser(store).erase()) == []
    assert_audited(store, erased=8)


def test_what_comes_again_stays_erased(store):
    """A redelivery is not published, neither before the receipt nor after it; the manifest says it was erased."""
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2)), revoke(HERS, 3, at(3)))
    publish(store)
    journal(store, sms_of(HERS, 1, at(1), redelivered=True))  # published by the eraser, which needs an epoch
    list(eraser(store).erase())
    journal(
        store,
        sms_of(HERS, 1, at(1), redelivered=True),
        revoke(HERS, 3, at(3), redelivered=True),
        broken_of(HERS),
        sms_of(HIS, 4, at(4)),
    )
    manifest = publish(store)
    assert (manifest.published, manifest.erased) == (1, 3)
    assert column(store) == [2, 4]
    assert_nowhere(store)
    assert_audited(store, received=8, erased=6, published=2)


def test_what_waits_to_be_published_is_not_shown(store):
    """`query --fresh` and the journal leave out whom a request names, before a seal lists it."""
    journal(store, sms_of(HERS, 1, at(1)), revoke(HERS, 2, at(2)))
    publish(store)
    list(eraser(store).erase())
    journal(store, sms_of(HERS, 1, at(1), redelivered=True), sms_of(HIS, 3, at(3)))
    shown = dict(backlog.rows(store, {"sms", "journal"}))
    assert shown["sms"]["sequence"].to_pylist() == [3]
    assert len(shown["journal"]) == 1


def test_who_grants_again_has_events_again(store):
    """v1: up to the grant all goes, from then on all stays, although the grace has not passed."""
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HERS, 2, at(60)), sms_of(HERS, 3, at(61)))
    journal(
        store,
        consent("revoked", at(30), HERS),
        consent("updated", at(20), HERS),
        consent("added", at(61), HERS),
        source=CONSENTS,
    )
    publish(store)
    (receipt,) = eraser(store).erase()
    assert receipt.erased == {"sms": 2, "consent_change_v1": 2}
    assert column(store) == [3]
    journal(store, sms_of(HERS, 4, at(62)), sms_of(HERS, 2, at(60), redelivered=True))
    publish(store)
    assert column(store) == [3, 4]
    assert_audited(store, erased=5)


def test_a_second_revocation_within_the_grace_is_not_lost(store):
    """What it takes is more than the first did: it is read, and obeyed, although its time is in the first's grace."""
    journal(store, sms_of(HERS, 1, at(1)), revoke(HERS, 2, at(2)))
    publish(store)
    list(eraser(store).erase())
    journal(store, revoke(HERS, 3, at(200)), sms_of(HERS, 4, at(400)))
    publish(store)
    assert column(store) == [4]
    (receipt,) = eraser(store).erase()
    assert receipt.erased == {"consent_revoke": 1, "sms": 1}
    assert_nowhere(store)
    assert_audited(store, published=0)


def test_by_hand_and_everywhere(store):
    """A number given by hand goes from others' events as well; they keep all else, and stay the same events."""
    mentions = [
        sms_of(HIS, 1, at(1), other=HERS),
        sms_of(HIS, 2, at(2), text=f"call {HERS} or {HERS}1"),
        sms_of(HIS, 3, at(3)),
    ]
    journal(store, *mentions, sms_of(HERS, 4, at(4)))
    publish(store)
    assert [each.erased for each in eraser(store).preview(BY_HAND, [HERS])] == [{"sms": 1}]
    asked = ByHand(numbers_file="given", everywhere=True)
    (receipt,) = eraser(store).erase(asked, ["# hers", "", f" {HERS} # this one"])
    assert (receipt.erased, receipt.blanked) == ({"sms": 1}, 2)
    assert column(store) == [1, 2, 3]
    assert column(store, "from_e164") == ["+46701740600", "+46701740600", None]
    assert f"call +{'*' * 10} or {HERS}1" in column(store, "text")
    journal(store, *mentions, sms_of(HIS, 5, at(5), other=HERS))
    manifest = publish(store)
    assert (manifest.duplicates, manifest.published, manifest.blanked) == (3, 1, 3)
    assert_nowhere(store, HERS.encode() + b"'")
    assert_audited(store, erased=1)


@pytest.mark.parametrize("line", ["not a number", "4711", "+4790000001 +4790000002", "١٢٣٤٥٦٧٨"])
def test_a_line_that_is_no_number_is_named_and_not_shown(store, line):
    """The refusal says which line, and what would be right; nothing is erased."""
    journal(store, sms_of(HERS, 1, at(1)))
    publish(store)
    with pytest.raises(ConfigurationError, match="line 2") as refused:
        list(eraser(store).erase(BY_HAND, [HERS, line]))
    assert line not in str(refused.value)
    assert not receipts.read_all(store)


def test_a_national_number_needs_its_country(store):
    """With --country, a line without a country code is one of that country."""
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2)))
    publish(store)
    (receipt,) = eraser(store, country="47").erase(BY_HAND, ["900 00 001"])
    assert receipt.erased == {"sms": 1}


def test_a_tenants_revocation_waits_for_an_answer(store):
    """It blocks nothing; audit warns until somebody says whom it concerns."""
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2)), sms_of(HIS, 3, at(9999)))
    journal(store, consent("revoked", at(5), tenant="fjordtel"), source=CONSENTS)
    publish(store)
    (noted,) = eraser(store).erase()
    assert (noted.rows, [each.tenant for each in noted.tenants]) == (0, ["fjordtel"])
    assert any("fjordtel" in warning for warning in examine(store)[0].warnings)
    with pytest.raises(ConfigurationError, match="fjordtel"):
        list(eraser(store).erase(ByHand(tenant="other", everyone=True)))
    (receipt,) = eraser(store).erase(ByHand(tenant="fjordtel", everyone=True))
    assert receipt.erased == {"sms": 2}
    assert column(store) == [3]
    assert not examine(store)[0].warnings
    assert_audited(store)


def test_after_a_while_nothing_says_who_it_was(store):
    """The request goes once no seal lists it any more; what is restored from before then is not published."""
    old = journal(store, sms_of(HERS, 1, at(1)), revoke(HERS, 2, at(2)))
    kept = bytes(store.read(old))
    publish(store)
    list(eraser(store).erase())
    assert erasures.listing(store).requests
    time.sleep(0.01)
    list(eraser(store, suppress_seconds=0.001).erase())
    assert not erasures.listing(store).requests
    assert not erasures.listing(store).plans
    store.create(old, kept)
    assert publish(store) is None
    assert [info.key for info in history.too_old(store, history.load(store))] == [old]
    (finding,) = examine(store)[0].kept
    assert (finding.kind, finding.where) == ("too_old", old)
    store.delete([old])
    journal(store, sms_of(HERS, 3, datetime.now(UTC)))
    assert publish(store).published == 1
    assert_audited(store)


def test_who_slept_until_another_request_of_its_number_was_over_asks_again(store, monkeypatch):
    """A request by hand is obeyed under the next number; nothing of what came too late stays."""
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2)), revoke(HERS, 3, at(3)))
    publish(store)
    create = store.create

    def sleep_before(key, data):
        if key == erasures.request_key(1):
            monkeypatch.undo()
            list(eraser(store).erase())
            time.sleep(0.01)
            list(eraser(store, suppress_seconds=0.001).erase())
            assert not erasures.listing(store).requests
        create(key, data)

    slow = eraser(store, suppress_seconds=0.001)
    slow._of_revocations = lambda: None  # it looked before they were published
    monkeypatch.setattr(slow._store, "create", sleep_before)
    (receipt,) = slow.erase(ByHand(numbers_file="given", before=at(9)), [HIS])
    assert (receipt.erasure, receipt.cause, receipt.rows) == (2, "numbers", 1)
    assert 1 not in erasures.listing(store).requests
    assert column(store) == []
    assert_audited(store)


def test_an_open_request_fails_the_audit_after_a_while(store):
    """An erasure that nobody finishes is a finding once it is older than allowed; finished, it is none."""
    journal(store, sms_of(HERS, 1, at(1)))
    publish(store)
    asked = erasures.Request(1, NOON, "numbers", 1, 0)
    store.create(erasures.request_key(1), asked.to_bytes())
    (finding,) = examine(store, erase_within=timedelta(seconds=1))[0].kept
    assert finding.kind == "overdue_erasure"
    assert not examine(store, erase_within=timedelta(days=9999))[0].kept
    (receipt,) = eraser(store).erase()
    assert receipt.rows == 0
    assert not examine(store, erase_within=timedelta(seconds=1))[0].kept


def test_what_is_put_back_is_found(store):
    """A file restored as it was before an erasure, and one rewritten by somebody else, are findings."""
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2)), revoke(HERS, 3, at(3)))
    publish(store)
    (key,) = [info.key for info in store.list("tables/sms/")]
    before = bytes(store.read(key))
    list(eraser(store).erase())
    store.replace(key, before, store.read_tagged(key)[1])
    assert {each.kind for each in examine(store)[0].kept} == {"changed_file"}
    assert {each.kind for each in examine(store, deep=True)[0].kept} >= {"changed_file", "not_erased"}


def test_quarantined_revocations_are_warned_of(store):
    """A delivery of a consent stream that nobody can decode may be a revocation: somebody has to look."""
    journal(store, b"\xff broken", source=CONSENTS)
    publish(store)
    findings, _ = examine(store)
    assert findings.kept == []
    assert "may be revocations" in findings.warnings[0]


def test_the_index_spares_looking(store, monkeypatch):
    """An erasure looks only into the epochs that have its subjects; without the index it finds the same."""
    monkeypatch.setattr(subjects, "PART_ROWS", 8)  # two numbers an epoch
    monkeypatch.setattr(subjects, "READ_TOGETHER", 1)
    for epoch in range(8):
        owner = HERS if epoch in (2, 6) else HIS
        journal(store, sms_of(owner, epoch, at(epoch)), sms_of("+46701740600", 100 + epoch, at(epoch)))
        publish(store)
    (receipt,) = eraser(store).erase(BY_HAND, [HERS])
    copies = len(list(store.list("retained/")))
    assert (receipt.erased, receipt.files) == ({"sms": 2}, 2)
    assert receipt.looked_at == 2 + copies
    indexes = [info.key for info in store.list("subjects/")]
    assert len(indexes) == 2
    (nothing,) = eraser(store).erase(BY_HAND, [HERS])
    assert nothing.looked_at < receipt.looked_at
    store.delete(indexes)
    (his,) = eraser(store).erase(BY_HAND, [HIS])
    assert his.erased == {"sms": 6}
    assert_audited(store, published=8)
