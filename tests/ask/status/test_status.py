"""What `status` says, and that it opens no table."""

import json
from datetime import timedelta

import lakes
import pytest
from wgtwo_pipeline.ask import status
from wgtwo_pipeline.lake import checkpoint, history, positions
from wgtwo_pipeline.lake.manifest import iso


def as_json(run):
    code, out, err = run("status", "--json")
    assert code == 0, err
    return json.loads(out)


def test_the_json_says_everything(store, run):
    """Every count is that of what was journaled and published; keys that scripts rely on stay."""
    lakes.lake_of_two_days(store)
    key = lakes.journal(store, lakes.sms(99), lakes.sms(98))
    positions.record_missed(store, "v0.test", lakes.at(0), lakes.at(60))
    found = as_json(run)
    lag = found.pop("lag_seconds")
    assert lag == pytest.approx(found["tables"]["sms"].pop("lag_seconds"))
    assert {
        name: (each["rows"], each["files"], each["duplicates"]) for name, each in found["tables"].items()
    } == {
        "handset_change_v1": (2, 1, 0),
        "sms": (30, 2, 2),
        "voice": (5, 1, 0),
    }
    assert found["tables"]["sms"]["newest_at"] == found["newest_at"] == iso(lakes.at(29, day=1))
    sizes = {info.key: info.size for info in store.list("")}
    assert found["tables"]["sms"]["bytes"] == sum(
        size for key, size in sizes.items() if key.startswith("tables/sms/")
    )
    quarantine = found["quarantine"]
    assert (quarantine["rows"], quarantine["files"], quarantine["duplicates"]) == (1, 1, 0)
    assert quarantine["reasons"] == {"undecodable": 1}
    assert found["journal"] | {"oldest_at": ""} == {
        "segments": 1,
        "deliveries": 2,
        "bytes": sizes[key],
        "oldest_at": "",
    }
    assert found["retained"]["objects"] == 3
    assert found["gaps"] == [{"subscription": "v0.test", "from": iso(lakes.at(0)), "to": iso(lakes.at(60))}]
    assert set(found["subscriptions"]) == {"v0.test", "v1.StreamHandsetChangeEvents.test"}
    counts = [
        found[name] for name in ("epochs", "received", "published", "duplicates", "quarantined", "erased")
    ]
    assert counts == [2, 40, 37, 2, 1, 0]
    assert found["open_epoch"] is None
    assert set(found) == {
        *(
            "lake",
            "at",
            "epochs",
            "committed_at",
            "received",
            "published",
            "duplicates",
            "quarantined",
            "erased",
        ),
        *("newest_at", "tables", "quarantine", "subscriptions", "open_epoch", "journal", "retained", "gaps"),
        *(
            "unreadable",
            "unreadable_segments",
            "erasures",
            "registered",
            "covered_until",
            "days",
            "lost_in_seconds",
        ),
    }
    assert set(found["covered_until"]) == set(found["lost_in_seconds"]) == set(found["subscriptions"])


def test_an_open_epoch_is_shown(store, run):
    """An epoch that is sealed and not committed is shown; its deliveries still count as waiting."""
    lakes.lake_of_two_days(store)
    lakes.journal(store, lakes.sms(99))
    lakes.publish(store, commits=False)
    found = as_json(run)
    assert found["open_epoch"] | {"sealed_at": ""} == {
        "epoch": 3,
        "sealed_at": "",
        "segments": 1,
        "deliveries": 1,
    }
    assert found["journal"]["deliveries"] == 1
    assert found["tables"]["sms"]["rows"] == 30
    assert "open epoch  3, sealed" in run("status")[1]


def test_the_text_says_the_same(store, run):
    """The text has a line a table, the sum that must hold, what waits, reasons and gaps."""
    lakes.lake_of_two_days(store)
    positions.record_missed(store, "v0.test", lakes.at(0), lakes.at(60))
    code, out, _ = run("status")
    assert code == 0
    assert ["sms", "30", "2", "2"] in [line.split()[:4] for line in out.splitlines()]
    assert "received 40 = published 37 + duplicates 2 + quarantined 1 + erased 0" in out
    assert "1 undecodable" in out
    assert "nothing waits" in out
    assert "GAP" in out
    assert max(map(len, out.splitlines()[:10])) <= 100


def test_an_empty_lake_says_what_to_do(run):
    """No table, no traceback: a line that says how to begin."""
    code, out, _ = run("status")
    assert code == 0
    assert "is empty" in out
    assert "wgtwo-pipeline run" in out
    assert as_json(run)["newest_at"] is None


def test_a_checkpoint_changes_nothing(store, run):
    """The same is said of manifests and of the checkpoint that replaces them."""
    lakes.lake_of_two_days(store)
    before = status.collect(store)
    past = history.load(store)
    checkpoint.write(store, past.base, past.manifests)
    after = status.collect(store)
    assert history.load(store).manifests == ()
    assert vars(after) | {"at": None} == vars(before) | {"at": None}


def test_no_table_is_opened(store, run):
    """It costs listings and manifests: tables and retained copies may be any size, or unreadable."""
    lakes.lake_of_two_days(store)
    before = run("status")
    for info in [*store.list("tables/"), *store.list("retained/")]:
        store.delete([info.key])
        store.create(info.key, b"-" * info.size)
    strip = [line for line in before[1].splitlines() if not line.startswith(("epochs", "covered"))]
    assert [
        line for line in run("status")[1].splitlines() if not line.startswith(("epochs", "covered"))
    ] == strip


def test_a_missing_lake_is_an_error(store, run, tmp_path):
    """A lake that is not there is said to be missing, with the option that names it, and is not created."""
    from wgtwo_pipeline.cli.main import main

    assert main(["status", "--lake", str(tmp_path / "nowhere")]) == 1
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 ms"), (0.25, "250 ms"), (59.6, "60 s"), (300, "5 min"), (7300, "2 h"), (1e6, "12 d")],
)
def test_durations_are_short(seconds, text):
    """A lag is said in the unit that fits."""
    from wgtwo_pipeline.ask.render import duration

    assert duration(timedelta(seconds=seconds).total_seconds()) == text


def test_the_time_until_events_are_lost_is_told(store, run):
    """The one number to watch: the history less the time since which nothing is covered."""
    lakes.journal(store, lakes.sms(1))
    found = json.loads(run("status", "--json", "--history", "1000s")[1])
    assert 1000 - 300 < found["lost_in_seconds"]["v0.test"] <= 1000
    assert "covered     v0.test until" in run("status")[1]
    _, out, _ = run("status", "--history", "1s")
    assert "events since then are being lost" in out or "events are lost in" in out


def test_watching_shows_what_came_meanwhile_until_it_is_interrupted(store, run, monkeypatch):
    """A line of JSON each time; what was journaled in between is in the next; an interruption is its good end."""
    lakes.journal(store, lakes.sms(1))
    rounds = iter(range(2))

    def sleep(seconds):
        if next(rounds, None) is None:
            raise KeyboardInterrupt
        lakes.journal(store, lakes.sms(2))

    monkeypatch.setattr(status.time, "sleep", sleep)
    code, out, _ = run("status", "--watch", "--json")
    found = [json.loads(line)["journal"]["deliveries"] for line in out.splitlines()]
    assert (code, found) == (0, [1, 2, 3])


def test_watching_as_text_tells_the_rate(store, run, monkeypatch):
    """Deliveries a second since the look before."""
    lakes.journal(store, lakes.sms(1))
    rounds = iter(range(1))

    def sleep(seconds):
        if next(rounds, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    code, out, _ = run("status", "--watch")
    assert code == 0
    assert out.count("1 deliveries wait") == 2
    assert out.splitlines()[-1].endswith(" UTC  0 deliveries/s")
