"""What `query` answers, in which form, and what it says to a question that has no answer.

It is over 300 lines because each form of question and of answer is one short test.
"""

import csv
import io
import json
import signal

import lakes
import pyarrow.parquet as pq
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from patience import wait_until
from processes import START_SECONDS, Command
from wgtwo_pipeline.ask.views import Views
from wgtwo_pipeline.events import tables
from wgtwo_pipeline.events.tables import QUARANTINE, catalog, current_descriptors


def rows(run, sql, *options):
    code, out, err = run("query", sql, "--format", "json", *options)
    assert code == 0, err
    return json.loads(out)


def test_every_table_is_a_view(store, run):
    """Each table is a view under its name, with its columns in order, also where it has no files."""
    lakes.lake_of_two_days(store)
    for name, table in catalog(current_descriptors()).items():
        assert [row["column_name"] for row in rows(run, f"DESCRIBE {name}")] == table.schema.names
    assert rows(run, "SELECT count(*) n FROM sms") == [{"n": 30}]
    assert rows(run, "SELECT count(*) n FROM voicemail") == [{"n": 0}]
    described = rows(run, "DESCRIBE sms")
    assert {row["column_name"]: row["column_type"] for row in described}["sequence"] == "BIGINT"
    assert described == rows(run, "DESCRIBE SELECT * FROM sms")


def test_views_have_the_same_types_with_and_without_files(store, run):
    """A query that works on a table with files works on one without."""
    before = {
        name: rows(run, f"DESCRIBE {name}") for name in ("sms", "handset_change_v1", "quarantine", "events")
    }
    lakes.lake_of_two_days(store)
    assert before == {name: rows(run, f"DESCRIBE {name}") for name in before}


def test_events_is_every_event_of_both_apis(store, run):
    """`events` has a row for each event, its `type` the table it is in; what an API lacks is null."""
    lakes.lake_of_two_days(store)
    counts = rows(
        run, "SELECT type, count(*) n, count(sequence) s, count(event_id) e FROM events GROUP BY 1 ORDER BY 1"
    )
    assert counts == [
        {"type": "handset_change_v1", "n": 2, "s": 0, "e": 2},
        {"type": "sms", "n": 30, "s": 30, "e": 0},
        {"type": "voice", "n": 5, "s": 5, "e": 0},
    ]


def test_quarantine_shows_bytes_and_reason(store, run):
    """What could not become a row can be asked for, with its bytes."""
    lakes.lake_of_two_days(store)
    (row,) = rows(run, "SELECT reason, hex(payload) AS payload, api FROM quarantine")
    assert row == {"reason": "undecodable", "payload": lakes.BROKEN.hex().upper(), "api": "v0"}
    assert [row["column_name"] for row in rows(run, "DESCRIBE quarantine")] == QUARANTINE.names


def test_journal_holds_what_is_not_published(store, run):
    """`journal` has the deliveries that wait, redeliveries too, and none that a committed epoch holds."""
    lakes.lake_of_two_days(store)
    assert rows(run, "SELECT * FROM journal") == []
    waiting = [lakes.sms(100), lakes.sms(100, redelivered=True), lakes.BROKEN]
    key = lakes.journal(store, *waiting)
    found = rows(run, "SELECT subscription, api, method, size_bytes, hex(payload) p, segment FROM journal")
    assert [row["p"] for row in found] == [payload.hex().upper() for payload in waiting]
    assert found[0] | {"p": ""} == {
        "subscription": "v0.test",
        "api": "v0",
        "method": "Subscribe",
        "size_bytes": len(waiting[0]),
        "p": "",
        "segment": key,
    }


def test_a_date_filter_opens_only_its_partition(store):
    """Partition pruning works through the views: a filter on `date` leaves the other days' files unread."""
    lakes.lake_of_two_days(store)
    for day, count in (("2026-11-23", 10), ("2026-11-24", 20)):
        with Views(store) as views:
            views.define(["sms", "events"])
            for view in ("sms", "events"):
                sql = f"SELECT count(*) FROM {view} WHERE date = '{day}'"
                plan = views.connection.execute(f"EXPLAIN ANALYZE {sql}").fetchall()[0][1]
                opened = [line for line in plan.splitlines() if ".parquet" in line and "sms" in line]
                assert opened, plan
                assert all(f"day={day}" in line for line in opened), plan
            assert views.connection.execute(f"SELECT count(*) FROM sms WHERE date = '{day}'").fetchall() == [
                (count,)
            ]


def test_hourly_and_daily_partitions_are_one_table(store, run):
    """A lake that went over to hours is read whole, and each row says its hour."""
    lakes.journal(store, *(lakes.sms(n, lakes.at(n)) for n in range(3)))
    lakes.publish(store)
    lakes.journal(store, *(lakes.sms(n, lakes.at(n)) for n in range(2, 6)))
    lakes.publish(store, partition_by="hour")
    assert rows(run, "SELECT hour, count(*) n FROM sms GROUP BY hour ORDER BY hour NULLS FIRST") == [
        {"hour": None, "n": 3},
        {"hour": 12, "n": 3},
    ]
    assert rows(run, "SELECT count(*) n FROM events") == [{"n": 6}]


def test_foreign_files_neither_break_nor_change_an_answer(store, run):
    """What systems, engines and sync clients leave in a table's folder is no file of the table."""
    lakes.lake_of_two_days(store)
    file = next(info.key for info in store.list("tables/sms/"))
    held = bytes(store.read(file))
    for key, data in {
        file.replace(".parquet", " (1).parquet"): held,
        file.replace(".parquet", "-MacBook.parquet"): held,
        file.replace("day=", "backup/day="): held,
        "tables/sms/0000000001-000.parquet": held,
        file.replace("0000000001", "._0000000001"): b"no Parquet",
        "tables/sms/day=2026-11-23/.~lock.0000000001-000.parquet#": b"",
        "tables/sms/_SUCCESS": b"",
        "quarantine/day=2026-11-23/._0000000002.parquet": b"no Parquet",
        "tables/sms/_delta_log/00000000000000000010.checkpoint.parquet": b"no Parquet",
    }.items():
        store.create(key, data)
    counts = "FROM (SELECT count(*) s FROM sms), (SELECT count(*) e FROM events), (SELECT count(*) q FROM quarantine)"
    assert rows(run, counts) == rows(run, counts, "--fresh") == [{"s": 30, "e": 37, "q": 1}]


def test_a_column_that_came_with_a_newer_version(store, run, monkeypatch):
    """Files of an older version, which knew a field less, and of this one are one table; so are views and audit."""
    files = FileDescriptorSet.FromString(current_descriptors())
    for file in files.file:
        for message in file.message_type:
            if message.name == "SmsEvent":
                kept = [field for field in message.field if field.name != "uuid"]
                del message.field[:]
                message.field.extend(kept)
    older = files.SerializeToString(deterministic=True)
    monkeypatch.setattr(tables, "current_descriptors", lambda: older)
    lakes.journal(store, lakes.sms(1, lakes.at(1)))
    lakes.publish(store)
    monkeypatch.undo()
    assert rows(run, "SELECT uuid FROM sms") == [{"uuid": None}]
    lakes.journal(store, lakes.sms(2, lakes.at(2)))
    lakes.publish(store)
    lakes.journal(store, lakes.sms(3, lakes.at(3)))
    assert rows(run, "SELECT uuid FROM sms ORDER BY sequence") == [{"uuid": None}, {"uuid": ""}]
    assert rows(run, "SELECT count(*) AS n FROM events", "--fresh") == [{"n": 3}]
    assert run("audit", "--deep")[0] == 0


def test_a_lake_may_have_any_name(tmp_path, capsys):
    """Signs that mean something to a glob or to SQL are only signs in a folder's name."""
    from wgtwo_pipeline.cli.main import main
    from wgtwo_pipeline.lake.open import open_store
    from wgtwo_pipeline.lake.store import LakeLocation

    store = open_store(LakeLocation(str(tmp_path / "o'la[ke]*?")))
    store.check()
    lakes.lake_of_two_days(store)
    assert main(["query", "SELECT count(*) FROM sms", "--format", "csv", "--lake", store.location.url]) == 0
    assert capsys.readouterr().out == "count_star()\n30\n"


FORMATTED = (
    "SELECT 1 AS n, NULL AS missing, 'a,\"b' AS t, [1, 2] AS l, 'x'::BLOB AS b, 1.5 AS d, 2::HUGEINT AS h, \
TIMESTAMPTZ '2026-11-23 09:30:00.000001+00' AS at, DATE '2026-11-23' AS day, true AS yes"
)


def test_csv(run):
    """CSV has a header, empty nulls, ISO times in UTC, base64 bytes."""
    code, out, _ = run("query", FORMATTED, "--format", "csv")
    assert code == 0
    (row,) = csv.DictReader(io.StringIO(out))
    assert row == {
        "n": "1",
        "missing": "",
        "t": 'a,"b',
        "l": "[1, 2]",
        "b": "eA==",
        "d": "1.5",
        "h": "2",
        "at": "2026-11-23T09:30:00.000001Z",
        "day": "2026-11-23",
        "yes": "true",
    }


def test_json(run):
    """JSON is one array with an object a row; the empty answer is an empty array."""
    (row,) = rows(run, FORMATTED)
    assert row == {
        "n": 1,
        "missing": None,
        "t": 'a,"b',
        "l": [1, 2],
        "b": "eA==",
        "d": 1.5,
        "h": 2,
        "at": "2026-11-23T09:30:00.000001Z",
        "day": "2026-11-23",
        "yes": True,
    }
    assert rows(run, "SELECT 1 WHERE false") == []
    assert [len(rows(run, f"FROM range({n})")) for n in (1, 25_000)] == [1, 25_000]


def test_parquet_goes_to_a_file(store, run, tmp_path):
    """The suffix of --output is enough to say the format; the file is there only once it is whole."""
    lakes.lake_of_two_days(store)
    target = tmp_path / "answer.parquet"
    assert run("query", "FROM sms", "--output", str(target))[:2] == (0, "")
    assert pq.read_table(target).num_rows == 30
    code, _, err = run("query", "SELECT error('no')", "--output", str(tmp_path / "failed.csv"))
    assert code == 1
    assert "no" in err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["answer.parquet"]
    code, _, err = run("query", "SELECT 1", "--output", str(tmp_path / "missing" / "x.csv"))
    assert (code, "No such file" in err) == (1, True)


def test_a_long_answer_says_what_it_leaves_out(run):
    """A table for people ends somewhere, and says so."""
    code, out, _ = run("query", "FROM range(1234)")
    assert code == 0
    assert "100 of 1,234 rows shown" in out
    assert out.count("\n") == 103


def test_a_wide_answer_is_shown_below_each_other(store, run, monkeypatch):
    """A table wider than the terminal becomes records."""
    monkeypatch.setenv("COLUMNS", "80")
    lakes.lake_of_two_days(store)
    _, out, _ = run("query", "FROM sms ORDER BY sequence LIMIT 2")
    assert "── row 2 ──" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nope FROM sms", "Candidate bindings"),
        ("SELECT * FROM nope", "The lake has voice, voicemail"),
        ("SELECT 1; SELECT 2", "one statement, this is 2: ask one after the other"),
        ("", "the SQL is empty: leave it out for an overview"),
        ("-- nothing to see here", "the SQL is empty"),
        ("COPY (SELECT 1) TO 'x.csv'", "it only reads"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'", "it only reads"),
        ("/* hm */ EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'", "it only reads"),
        ("EXPLAIN /* hm */ ANALYZE COPY (SELECT 1) TO 'x.csv'", "syntax error"),
        ("ATTACH 'x.db'", "it only reads"),
        ("INSTALL httpfs", "it only reads"),
        ("SET enable_external_access = true", "it only reads"),
        ("DROP VIEW sms", "it only reads"),
        ("FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("FROM 'https://example.com/x.parquet'", "disabled by configuration"),
    ],
)
def test_a_wrong_query_gets_one_line(store, run, sql, says):
    """What cannot be answered is said in one line, with exit code 1, and changes nothing."""
    before = sorted(info.key for info in store.list(""))
    code, out, err = run("query", sql)
    assert (code, out) == (1, "")
    assert err.startswith("wgtwo-pipeline: error: ")
    assert err.count("\n") == 1
    assert says in err
    assert sorted(info.key for info in store.list("")) == before


def test_the_overview(store, run):
    """Without SQL: events by type and day, the SQL behind it, and what else there is."""
    code, out, _ = run("query")
    assert code == 0
    assert "is empty: nothing has been journaled yet" in out
    lakes.lake_of_two_days(store)
    code, out, _ = run("query")
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()[2:6]] == [
        ["sms", "2026-11-24", "20"],
        ["sms", "2026-11-23", "10"],
        ["voice", "2026-11-23", "5"],
        ["handset_change_v1", "2026-11-23", "2"],
    ]
    assert "SELECT type, date, count(*)" in out
    code, out, _ = run("query", "--format", "json")
    assert len(json.loads(out)) == 4


@pytest.mark.parametrize("sql", ["FROM sms", "SELECT type, count(*) FROM events GROUP BY type"])
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_an_empty_lake_is_said_to_be_empty(store, run, sql, form):
    """The answer is what it is; why there is nothing to find, and what to do, stands beside it on standard error."""
    code, out, err = run("query", sql, "--format", form)
    assert code == 0
    assert form != "table" or out == "(no rows)\n"
    assert "is empty: nothing has been journaled yet. `wgtwo-pipeline run` fills it." in err
    lakes.journal(store, lakes.sms(1))
    assert "--fresh shows what is journaled" in run("query", sql, "--format", form)[2]
    assert run("query", sql, "--format", form, "--fresh")[2] == ""
    lakes.publish(store)
    assert run("query", sql, "--format", form)[2] == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_query_can_be_stopped(store, tmp_path, number):
    """Also while DuckDB computes; nothing of it is left, neither the answer begun nor what did not fit in memory."""
    lakes.lake_of_two_days(store)
    (tmp_path / "spilled").mkdir()
    (tmp_path / "answers").mkdir()
    endless = "SELECT t.range FROM range(100000000000) t, range(1000) ORDER BY hash(t.range)"
    output = tmp_path / "answers" / "endless.csv"
    process = Command(
        tmp_path / "log",
        *("query", endless, "--lake", store.location.url, "--output", output),
        env={"TMPDIR": str(tmp_path / "spilled")},
    )
    try:
        wait_until(
            lambda: list(output.parent.iterdir()), START_SECONDS, "it computes", lambda: process.stderr
        )
        process.send(number)
        assert process.wait(10) == 130
        assert process.stderr == ""
        assert [*output.parent.iterdir(), *(tmp_path / "spilled").iterdir()] == []
    finally:
        process.end()


def test_a_missing_lake_is_not_made(run, store, tmp_path):
    """A lake that is not there is an error that names the option, and still not there afterwards."""
    from wgtwo_pipeline.cli.main import main

    for command in ("query", "status"):
        assert main([command, "--lake", str(tmp_path / "nowhere")]) == 1
    assert not (tmp_path / "nowhere").exists()
