"""`wgtwo_pipeline.Lake` answers as the commands do, and costs nobody who does not use it."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import lakes
import pyarrow as pa
import pytest
import wgtwo_pipeline
from patience import PATIENCE_SECONDS
from wgtwo_pipeline import Lake
from wgtwo_pipeline.errors import ConfigurationError, LakeError, PipelineError
from wgtwo_pipeline.events.tables import catalog, current_descriptors

MOVES = ("at", "lag_seconds", "lost_in_seconds")
"""What differs between two looks at the same lake."""


@pytest.fixture
def lake(store):
    lakes.lake_of_two_days(store)
    return Lake(store.location.url)


def still(found):
    """Without what the clock changes."""
    if isinstance(found, dict):
        return {key: still(value) for key, value in found.items() if key not in MOVES}
    return [still(each) for each in found] if isinstance(found, list) else found


def test_sql_is_an_arrow_table(lake):
    """With the columns' own types, all rows, in the order that was asked for; pandas gets it by one call."""
    answer = lake.sql("SELECT * FROM sms ORDER BY sequence")
    assert isinstance(answer, pa.Table)
    assert answer.num_rows == 30
    for field in catalog(current_descriptors())["sms"].schema:
        assert answer.schema.field(field.name).type == field.type, field.name
    assert answer["sequence"].to_pylist() == list(range(30))
    assert list(lake.sql("SELECT count(*) AS n FROM events").to_pandas()["n"]) == [37]


def test_fresh_has_what_waits(lake, store):
    """What is journaled and not yet published is in the answer only when it is asked for, each event once."""
    lakes.journal(store, lakes.sms(100, lakes.at(100)), lakes.sms(3, lakes.at(3), redelivered=True))
    count = "SELECT count(*) AS n FROM sms"
    assert lake.sql(count)["n"].to_pylist() == [30]
    assert lake.sql(count, fresh=True)["n"].to_pylist() == [31]


def test_each_call_looks_anew(lake, store):
    """A notebook that stays open sees what was published since."""
    assert lake.status()["tables"]["voice"]["rows"] == 5
    lakes.journal(store, lakes.voice(100, lakes.at(100)))
    lakes.publish(store)
    assert lake.status()["tables"]["voice"]["rows"] == 6
    assert lake.sql("FROM voice").num_rows == 6
    assert lake.audit()["published"] == 38


def test_status_is_what_the_command_prints(lake, run):
    """Key for key."""
    code, out, _ = run("status", "--json")
    assert code == 0
    assert still(lake.status()) == still(json.loads(out))


@pytest.mark.parametrize("deep", [False, True])
def test_audit_is_what_the_command_prints(lake, run, deep):
    """Key for key, with and without reading every row."""
    code, out, _ = run("audit", "--json", *(["--deep"] if deep else []))
    assert code == 0
    found = lake.audit(deep=deep)
    assert found["passed"] is True
    assert still(found) == still(json.loads(out))


def test_a_difference_is_found_and_not_raised(lake, store):
    """Who asks for a proof decides what a failed one means."""
    path = next(Path(store.location.url).glob("tables/sms/*/*.parquet"))
    path.unlink()
    found = lake.audit(erase_within=timedelta(days=1))
    assert found["passed"] is False
    assert any(path.name in finding["where"] for finding in found["found"])


@pytest.mark.parametrize(
    "sql", ["SELECT nothing FROM sms", "FROM nowhere", "SELEC", "", "SELECT 1; SELECT 2", "CREATE TABLE t (n INT)",
            "COPY (FROM sms) TO '/tmp/stolen.csv'", "FROM read_text('/etc/passwd')"],
)  # fmt: skip
def test_an_error_is_the_command_s_sentence(lake, run, sql):
    """The same words, as an exception."""
    _, _, err = run("query", sql)
    with pytest.raises(PipelineError) as raised:
        lake.sql(sql)
    assert err.strip().endswith(" ".join(str(raised.value).split()))


def test_a_lake_that_is_not_there(tmp_path):
    """It is refused at once and not created; a name that cannot be one is the caller's mistake."""
    with pytest.raises(LakeError, match="--lake names another"):
        Lake(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ConfigurationError, match=r"name a folder such as \./lake, or s3://bucket/prefix"):
        Lake("gs://bucket/prefix")


def test_a_relative_lake_stays_where_it_is(lake, store, monkeypatch, tmp_path):
    """The working folder of a notebook changes under it."""
    monkeypatch.chdir(Path(store.location.url).parent)
    relative = Lake("lake")
    monkeypatch.chdir(tmp_path.parent)
    assert relative.sql("FROM sms").num_rows == 30
    assert repr(relative) == repr(lake) == f"Lake({store.location.url!r})"


def test_several_threads_ask_at_once(lake):
    """Each gets its own whole answer."""
    together = threading.Barrier(4)

    def ask(day):
        together.wait(PATIENCE_SECONDS)
        return lake.sql(f"SELECT count(*) AS n FROM sms WHERE date = '2026-11-{day}'")["n"].to_pylist()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, [23, 24, 23, 24])) == [[10], [20], [10], [20]]


def imported_by(code, *arguments):
    """Which of the slow libraries a new process has after this."""
    slow = "{'apache_beam', 'pyarrow', 'grpc', 'duckdb', 'boto3'}"
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sorted({slow} & set(sys.modules)))", *arguments],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True,
    )  # fmt: skip
    return ended.stdout.split()


def test_who_does_not_use_it_does_not_wait_for_it():
    """The package alone brings nothing; what it offers is known before it is there."""
    assert imported_by("import wgtwo_pipeline; assert 'Lake' in dir(wgtwo_pipeline)") == []
    with pytest.raises(AttributeError, match="has no attribute 'Lakes'"):
        _ = wgtwo_pipeline.Lakes


def test_it_needs_no_beam(lake, store):
    """Status brings Arrow, SQL brings DuckDB; neither Beam nor gRPC nor, for a folder, boto3."""
    begin = "from wgtwo_pipeline import Lake; lake = Lake(sys.argv[1])"
    url = store.location.url
    assert imported_by(f"{begin}; lake.status(); lake.audit()", url) == ["pyarrow"]
    assert imported_by(f"{begin}; lake.sql('FROM sms', fresh=True)", url) == ["duckdb", "pyarrow"]
