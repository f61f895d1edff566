"""What is served over HTTP: figures, probes and status, read only, from what was last seen.

It is over 300 lines because one small pipeline and one lake serve all of it.
"""

import contextlib
import json
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import lakes
import pytest
import requests
from patience import PATIENCE_SECONDS, wait_until
from prometheus_client.parser import text_string_to_metric_families
from wgtwo_pipeline.ask.look import Looks
from wgtwo_pipeline.errors import ConfigurationError, LakeError
from wgtwo_pipeline.lake import checkpoint, history, positions
from wgtwo_pipeline.lake.manifest import Parameters, Sealed, TableCount
from wgtwo_pipeline.metrics.samples import Samples
from wgtwo_pipeline.watch.lake import LakeWatch
from wgtwo_pipeline.watch.members import Member
from wgtwo_pipeline.watch.server import Watch

MEMBER = Member("member-0", "v0.test", True, 10, 9, 1, 0.5, 1_795_000_000.0)


class Pipeline:
    """One that says what the test wants."""

    def __init__(self):
        self.dead, self.unready, self.members, self.history_seconds = [], [], [MEMBER], 1800.0

    def add_to(self, samples):
        samples.add("ingest_received_deliveries_total", 10, subscription="v0.test", member="member-0")

    def live(self):
        return self.dead

    def ready(self):
        return self.unready


class CountingStore:
    """Counts what is asked of a store."""

    def __init__(self, store):
        self._store, self.asked = store, Counter()

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*arguments, **named):
            self.asked[name] += 1
            return found(*arguments, **named)

        return call


@pytest.fixture
def pipeline():
    return Pipeline()


@pytest.fixture
def watch(store, pipeline):
    """`watch()` serves the lake of two days, once it has been looked at."""
    lakes.lake_of_two_days(store)
    with contextlib.ExitStack() as ends:

        def start(**how):
            lake = LakeWatch(store, **how)
            served = ends.enter_context(contextlib.closing(Watch("127.0.0.1:0", pipeline, lake)))
            wait_until(lambda: lake.seen, what="the first look")
            return served

        yield start


def get(watch, path, **how):
    return requests.get(f"http://{watch.address}{path}", timeout=PATIENCE_SECONDS, **how)


def figures(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_lake_s_figures_are_those_of_its_manifests(watch, store):
    """What was received is published, duplicate, quarantined or erased, here as in `audit`."""
    lakes.journal(store, lakes.sms(99), lakes.sms(98))
    positions.record_missed(store, "v0.test", lakes.at(0), lakes.at(60))
    found = figures(get(watch(), "/metrics").text)
    assert found[("wgtwo_lake_rows", "sms")] == 30
    assert found[("wgtwo_lake_duplicate_deliveries_total", "sms")] == 2
    assert found[("wgtwo_lake_quarantined_deliveries_total", "undecodable")] == 1
    totals = dict.fromkeys(("received", "published", "duplicate", "quarantined", "erased"), 0.0)
    for (name, *_), value in found.items():
        kind = name.removeprefix("wgtwo_lake_").removesuffix("_deliveries_total")
        if kind in totals:
            totals[kind] += value
    assert totals.pop("received") == 40 == sum(totals.values())
    assert found[("wgtwo_lake_journal_deliveries",)] == 2
    assert found[("wgtwo_lake_committed_epoch",)] == 2
    assert (found[("wgtwo_lake_gaps_total",)], found[("wgtwo_lake_gap_seconds_total",)]) == (1, 60)
    newest = found[("wgtwo_lake_newest_event_timestamp_seconds", "sms")]
    assert newest == lakes.at(29, day=1).timestamp()
    assert found[("wgtwo_ingest_received_deliveries_total", "member-0", "v0.test")] == 10
    assert found[("wgtwo_ready",)] == 1


def test_probes_say_what_is_wrong(watch, pipeline):
    """200 or 503, with the sentences; one says nothing of the other."""
    served = watch()
    assert (get(served, "/livez").status_code, get(served, "/readyz").status_code) == (200, 200)
    pipeline.unready = ["member-0: no confirmed stream"]
    answer = get(served, "/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["member-0: no confirmed stream"])
    assert get(served, "/livez").status_code == 200
    pipeline.dead, pipeline.unready = ["it hangs"], []
    assert get(served, "/livez").json() == {"ok": False, "problems": ["it hangs"]}
    assert figures(get(served, "/metrics").text)[("wgtwo_ready",)] == 1


def test_status_is_what_the_command_prints_and_the_members(watch, store):
    """For scripts, and for the page."""
    found = get(watch(), "/status").json()
    assert found["members"] == [vars(MEMBER)]
    assert found["lake"]["tables"]["sms"]["rows"] == 30
    assert (found["live"], found["ready"], found["lake_problems"]) == ([], [], [])


def test_foreign_pages_and_changes_are_refused(watch):
    """A web page elsewhere cannot make a browser read it, nor by a name of its own; nothing can be changed."""
    served = watch()
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert get(served, "/metrics", headers=headers).status_code == 403
    for name in ("localhost", "ingest:9464", "ingest.pipeline.svc:9464", "10.1.2.3:9464", "[::1]:9464"):
        assert get(served, "/metrics", headers={"Host": name}).status_code == 200
    answer = requests.post(f"http://{served.address}/metrics", timeout=PATIENCE_SECONDS)
    assert answer.status_code == 405
    assert get(served, "/nowhere").status_code == 404


def test_openmetrics_is_spoken_to_those_who_ask_for_it(watch):
    """As Prometheus does."""
    answer = get(watch(), "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_an_address_that_is_taken_is_refused(watch, pipeline, store):
    """With the option to change."""
    served = watch()
    lake = LakeWatch(store)
    with contextlib.closing(lake), pytest.raises(ConfigurationError, match="another --metrics-address"):
        Watch(served.address, pipeline, lake)


def test_no_request_asks_the_lake(store, pipeline):
    """A scrape costs no listing, whatever is asked for and how often: what was last seen is shown."""
    lakes.lake_of_two_days(store)
    counting = CountingStore(store)
    lake = LakeWatch(counting, every_seconds=3600)
    with contextlib.closing(Watch("127.0.0.1:0", pipeline, lake)) as served:
        wait_until(lambda: lake.seen, what="the first look")
        before = dict(counting.asked)
        for _ in range(3):
            for path in ("/", "/metrics", "/status", "/readyz", "/livez"):
                assert get(served, path).status_code == 200
        assert dict(counting.asked) == before


def test_a_look_reads_only_what_is_new(store):
    """Manifests, receipts, gaps and segments that it has seen are not read again; and it sees what is new."""
    lakes.lake_of_two_days(store)
    positions.record_missed(store, "v0.test", lakes.at(0), lakes.at(60))
    counting = CountingStore(store)
    looks = Looks(counting)
    first = looks.look()
    counting.asked.clear()
    again = looks.look()
    assert (again.totals, again.tables, again.gaps, again.days) == (
        *(first.totals, first.tables, first.gaps),
        first.days,
    )
    assert counting.asked["open"] == 0
    lakes.journal(store, lakes.sms(99))
    lakes.publish(store)
    lakes.journal(store, lakes.sms(100))
    positions.record_missed(store, "v0.test", lakes.at(100), lakes.at(160))
    later, fresh = looks.look(), Looks(store).look()
    assert (later.epochs, later.journal.deliveries, len(later.gaps)) == (3, 1, 2)
    for name in (
        "totals",
        "tables",
        "quarantine",
        "journal",
        "gaps",
        "days",
        "recent",
        "committed_at",
        "covered",
    ):
        assert getattr(later, name) == getattr(fresh, name), name


def test_a_checkpoint_changes_no_figure(store):
    """Whether manifests or a checkpoint say it, also the newest epochs and the days."""
    lakes.lake_of_two_days(store)
    before = Looks(store).look()
    past = history.load(store)
    checkpoint.write(store, past.base, past.manifests)
    after = Looks(store).look()
    for name in ("totals", "tables", "quarantine", "days", "recent", "committed_at", "covered", "ever"):
        assert getattr(after, name) == getattr(before, name), name


def test_rows_are_counted_by_day(store):
    """Of the last fourteen days; the quarantine is no table."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    lakes.journal(store, *(lakes.sms(n, today) for n in range(3)), lakes.BROKEN)
    lakes.journal(store, *(lakes.voice(n, today - timedelta(days=13)) for n in range(2)))
    lakes.journal(store, *(lakes.sms(n + 10, today - timedelta(days=14)) for n in range(4)))
    lakes.publish(store)
    day = today.date()
    assert Looks(store).look().days == {"sms": {day: 3}, "voice": {day - timedelta(days=13): 2}}


def test_what_is_covered_is_said_by_the_newest_segment_or_manifest(store):
    """By subscription; never beyond now."""
    lakes.lake_of_two_days(store)
    published = Looks(store).look().covered
    lakes.journal(store, lakes.sms(99))
    found = Looks(store).look()
    assert found.covered["v0.test"] > published["v0.test"]
    assert found.covered["v0.test"] <= found.at
    assert set(found.covered) == {"v0.test", "v1.StreamHandsetChangeEvents.test"}


def test_a_lake_that_cannot_be_looked_at_is_said_and_looked_at_again(store, caplog):
    """What was seen stays; a log line says why; when it is back, it is seen again."""
    lakes.lake_of_two_days(store)
    counting = CountingStore(store)
    lake = LakeWatch(counting, every_seconds=0.5)
    with contextlib.closing(lake):
        wait_until(lambda: lake.seen, what="the first look")

        def fail(*_, **__):
            raise LakeError("the disk is away")

        counting.list = fail
        said = ["the lake cannot be looked at: the disk is away"]
        wait_until(lambda: lake.problems() == said, what="it is said", describe=lake.problems)
        samples = Samples()
        lake.add_to(samples)
        assert samples.get("lake_committed_epoch") == 2
        del counting.list
        wait_until(lambda: not lake.problems(), what="it is back")
    assert "its figures stay as they are: the disk is away" in caplog.text


def test_nothing_shown_names_anybody(watch, store):
    """No phone number of an event is on any page, in any figure."""
    lakes.journal(store, lakes.handset_change(7, lakes.at(9)), source=lakes.HANDSETS)
    lakes.publish(store)
    served = watch()
    for path in ("/", "/metrics", "/status", "/readyz"):
        assert "+47" not in get(served, path).text
        assert "4700000" not in json.dumps(get(served, path).text)


@pytest.mark.heavy
def test_a_scrape_of_a_lake_of_a_year_takes_no_time(store, pipeline):
    """35,000 epochs of eleven tables: under 50 ms, and a look after the first under a second."""
    lakes.lake_of_two_days(store)
    past = history.load(store)
    first = past.manifests[0]
    tables = [f"table_{n}" for n in range(11)]
    year = []
    for epoch in range(3, 35_003):
        moment = lakes.NOON - timedelta(minutes=15 * (35_003 - epoch))
        files = tuple(
            type(first.files[0])(
                f"tables/{table}/day={moment:%Y-%m-%d}/{epoch}-0.parquet",
                *(table, moment.date(), 1000, 50_000, "0" * 64, moment, moment),
            )
            for table in tables
        )
        year.append(_manifest(first, epoch, moment, files))
    checkpoint.write(store, past.base, [*past.manifests, *year])
    for manifest in year[-25:]:  # those that the page shows are read from their own objects
        store.create(f"epochs/{manifest.epoch:010d}/manifest.json", manifest.to_bytes())
        store.create(f"epochs/{manifest.epoch:010d}/sealed.json", _seal(manifest))
    lake = LakeWatch(store, every_seconds=1.0)
    with contextlib.closing(Watch("127.0.0.1:0", pipeline, lake)) as served:
        wait_until(lambda: lake.seen, 60, "the first look", lake.problems)
        assert lake.seen.epochs == 35_002
        first_at = lake.seen.at
        wait_until(lambda: lake.seen.at > first_at, 60, "the second look")
        looked = figures(get(served, "/metrics").text)[("wgtwo_lake_look_seconds",)]
        took = []
        for _ in range(40):
            began_at = time.perf_counter()
            assert get(served, "/metrics").status_code == 200
            took.append(time.perf_counter() - began_at)
    assert sorted(took)[len(took) // 2] < 0.05, took
    assert looked < 1


def _manifest(like, epoch, moment, files):
    counts = {file.table: TableCount(published=file.rows) for file in files}
    times = {"committed_at": moment, "retired_through": epoch - 1}
    return replace(like, epoch=epoch, files=files, tables=counts, retained=(), **times)


def _seal(manifest):
    return Sealed(manifest.epoch, manifest.committed_at, "test", Parameters(""), ()).to_bytes()
