"""`erase` on the command line: what it prints, what it refuses, and that no number is ever shown."""

import io
import json
import sys

import pytest
from lakes import at, journal, publish
from lakes_erased import CONSENTS, HERS, HIS, consent, revoke, sms_of

DIGITS = HERS.removeprefix("+")


@pytest.fixture
def numbers(tmp_path):
    file = tmp_path / "numbers"
    file.write_text(f"# one a line\n{HERS}\n")
    return str(file)


def test_a_receipt_for_each_erasure(store, run, numbers):
    """What was revoked first, then what was given by hand; a paragraph or a line of JSON each; and later the same."""
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2)), revoke(HIS, 3, at(3)))
    publish(store)
    code, out, _ = run("erase", "--numbers", numbers, "--log-level", "debug")
    assert code == 0
    assert "Erasure 1, finished" in out
    assert "1 subscribers" in out
    assert "Erasure 2, finished" in out
    code, out, _ = run("erase", "--receipts", "--json")
    first, second = map(json.loads, out.splitlines())
    assert (first["erased"], first["cause"]) == ({"consent_revoke": 1, "sms": 1}, "revocations")
    assert (second["erased"], second["cause"]) == ({"sms": 1}, "numbers")
    assert (first["complete"], first["blanked"], first["subjects"]) == (True, 0, 1)
    assert run("erase")[:2] == (0, "Nothing was to be erased.\n")
    status = json.loads(run("status", "--json")[1])
    assert (status["erased"], status["erasures"]["finished"], status["published"]) == (3, 2, 0)
    assert "erased 3" in run("status")[1]
    assert run("audit", "--deep")[0] == 0


def test_a_dry_run_changes_nothing(store, run, numbers):
    """It says how many events of which tables would go; the lake is what it was, byte for byte."""
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2)))
    publish(store)
    before = {info.key: bytes(store.read(info.key)) for info in store.list("")}
    code, out, _ = run("erase", "--numbers", numbers, "--dry-run", "--json")
    assert (code, json.loads(out)["erased"]) == (0, {"sms": 1})
    assert {info.key: bytes(store.read(info.key)) for info in store.list("")} == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--all"], "--tenant"),
        (["--tenant", "fjordtel"], "--numbers FILE, or --all"),
        (["--everywhere"], "--numbers FILE"),
        (["--before", "2026-11-01T00:00:00Z"], "--numbers FILE"),
        (["--before", "yesterday", "--numbers", "-"], "2026-11-23T09:30:00Z"),
        (["--numbers", "nowhere"], "is no file"),
        (["--numbers", HERS], "is no file"),
        ([HERS], "does not know what to do with a number"),
        (["--country", HERS], "is no country code"),
    ],
)
def test_refusals_show_no_number(run, caplog, arguments, says):
    """Each names the fix; none shows what may be somebody's number."""
    code, out, err = run("erase", *arguments)
    assert code == 2
    assert says in err
    assert DIGITS not in out + err + caplog.text


def test_no_number_is_logged(store, run, monkeypatch, caplog, capsys, tmp_path):
    """Neither standard output nor the logs of any level hold it, whether all goes well or not."""
    caplog.set_level("DEBUG")
    journal(store, sms_of(HERS, 1, at(1)), revoke(HERS, 2, at(2)))
    publish(store)
    bad = tmp_path / "bad"
    bad.write_text(f"{HERS}\n{HERS} and another\n")
    said = [run("erase", "--numbers", str(bad), "--log-level", "debug")]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{HERS}\n"))
    said.append(run("erase", "--numbers", "-", "--everywhere", "--log-level", "debug"))
    assert [code for code, *_ in said] == [2, 0]
    assert DIGITS not in repr(said) + caplog.text


def test_status_says_loudly_what_is_not_obeyed(store, run):
    """`--erase-every never`, a tenant's revocation without an answer, and revocations that nobody has read."""
    journal(store, sms_of(HERS, 1, at(1)), revoke(HIS, 2, at(2)))
    journal(store, consent("revoked", at(5), tenant="fjordtel"), source=CONSENTS)
    publish(store)
    out = run("status", "--erase-every", "never")[1]
    assert "NOT OBEYED" in out
    assert "1 revocations wait" in out
    assert "NOT OBEYED" not in run("status")[1]
    run("erase")
    out = run("status")[1]
    assert "TENANT      fjordtel" in out
    assert "erase --tenant fjordtel" in out
    assert "revocations wait" not in out
