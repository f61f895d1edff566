"""What `register --compact` does to a month of one-minute epochs: files, bytes, and the time of three questions.

One table, `ROWS` SMS a minute. Asked through pyiceberg and through DuckDB 1.5's Iceberg extension (of `.tools/`, see
`tests/register/engines.py`), before and after; and the plain files by this project's DuckDB, for comparison.

    python benchmarks/compaction.py [DAYS [ROWS]]
"""

import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import lake
import pyarrow as pa
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.events import tables
from wgtwo_pipeline.events.decode import decode
from wgtwo_pipeline.lake import checkpoint, epochs, history, journal
from wgtwo_pipeline.lake.manifest import Manifest, Parameters, Received, TableCount, manifest_key
from wgtwo_pipeline.lake.open import open_store, open_to_write
from wgtwo_pipeline.lake.outcomes import Outcome, combine
from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.publish import write
from wgtwo_pipeline.register import compact, register
from wgtwo_pipeline.register.catalogs import open_target

START = datetime(2026, 10, 1, tzinfo=UTC)
MINUTES_A_DAY = 24 * 60
DUCKDB_1_5 = Path(__file__).parents[1] / ".tools" / "duckdb-1.5.5" / "bin" / "python"
QUESTIONS = {
    "count by day": "SELECT date, count(*) FROM {table} GROUP BY date",
    "one day": "SELECT count(*), max(sequence) FROM {table} WHERE date = DATE '2026-10-02'",
    "top numbers": "SELECT owner_phone_number, count(*) AS n FROM {table} GROUP BY ALL ORDER BY n DESC LIMIT 10",
}
ASK = """
import json, pathlib, sys, time
import duckdb, duckdb_extension_avro, duckdb_extension_iceberg
connection = duckdb.connect()
for package in (duckdb_extension_avro, duckdb_extension_iceberg):
    (extension,) = pathlib.Path(package.__file__).parent.rglob("*.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
seconds = []
for question in sys.argv[1:]:
    started = time.perf_counter()
    connection.execute(question).fetchall()
    seconds.append(time.perf_counter() - started)
print(json.dumps(seconds))
"""


def make(folder: str, days: int, rows_a_minute: int) -> None:
    """Fills a new lake: manifests and files as publishing leaves them; no seals and no journal."""
    store = open_to_write(LakeLocation(folder))
    os.fsync = lambda _: None
    manifests = []
    for epoch in range(1, days * MINUTES_A_DAY + 1):
        manifests.append(publish(store, epoch, rows_a_minute))
        if len(manifests) == epochs.CHECKPOINT_EVERY_EPOCHS:
            checkpoint.write(store, checkpoint.newest(store), manifests)
            manifests = []


def publish(store: Store, epoch: int, count: int) -> Manifest:
    """Commits an epoch of one minute."""
    rows = minute(one_row(), epoch, count)
    files = write.write(store, rows, "sms", epoch, Parameters(""))
    outcome = Outcome(
        received=len(rows),
        subscriptions={"v0.benchmark": Received(len(rows), START)},
        tables={"sms": TableCount(published=len(rows))},
        files=tuple(files),
    )
    manifest = combine(epoch, START + timedelta(minutes=epoch), epoch - 1, [outcome])
    store.create(manifest_key(epoch), manifest.to_bytes())
    return manifest


@functools.cache
def one_row() -> pa.Table:
    """An SMS as a row, decoded from a delivery."""
    payload = v0.SubscribeEventsResponse(event=_sms()).SerializeToString()
    descriptors = tables.current_descriptors()
    decoded = decode(journal.batch([payload], [0]), api="v0", method="Subscribe", descriptors=descriptors)
    return decoded.tables["sms"]


def _sms() -> v0.Event:
    event = next(event for event in lake.bodies() if event.HasField("sms_event"))
    event.metadata.sequence = 1
    event.timestamp.FromDatetime(START)
    return event


def minute(one: pa.Table, epoch: int, count: int) -> pa.Table:
    """The rows of one minute: their own times, sequences and owners."""
    first = int((START + timedelta(minutes=epoch - 1)).timestamp() * 1_000_000)
    times = pa.array([first + n * 60_000_000 // count for n in range(count)], pa.timestamp("us", "UTC"))
    rows = one.take(pa.array([0] * count))
    owners = [f"+4790{(epoch * 7919 + n * 104_729) % 100_000:06d}" for n in range(count)]
    for name, values in {
        "timestamp": times,
        "received_at": times,
        "sequence": pa.array(range(epoch * count, (epoch + 1) * count), pa.int64()),
        "owner_phone_number": pa.array(owners),
        "date": times.cast(pa.date32()),
    }.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
    return rows


def measure(folder: str) -> dict[str, object]:
    """Files and bytes that the table shows, and seconds for each question."""
    store = open_store(LakeLocation(folder))
    table = open_target("lake", store).load("sms")
    shown = [task.file for task in table.scan().plan_files()]
    found: dict[str, object] = {
        "files": len(shown),
        "MB": sum(file.file_size_in_bytes for file in shown) / 1e6,
    }
    plan = timed(lambda: list(open_target("lake", store).load("sms").scan().plan_files()))
    found["pyiceberg: plan"] = plan
    day = "date = '2026-10-02'"
    found["pyiceberg: one day"] = timed(lambda: table.scan(row_filter=day).to_arrow())
    if DUCKDB_1_5.exists():
        asked = [each.format(table=f"iceberg_scan('{folder}/iceberg/sms')") for each in QUESTIONS.values()]
        runs = [
            json.loads(subprocess.check_output([DUCKDB_1_5, "-c", ASK, *asked], text=True).splitlines()[-1])
            for _ in range(3)
        ]
        for name, seconds in zip(QUESTIONS, zip(*runs, strict=True), strict=True):
            found[f"DuckDB 1.5: {name}"] = statistics.median(seconds)
    return found


def plain(folder: str) -> dict[str, float]:
    """The same questions to the plain files."""
    files = f"read_parquet('{folder}/tables/sms/*/*.parquet')"
    return {
        f"plain: {name}": timed(lambda sql=sql: duckdb.connect().execute(sql.format(table=files)).fetchall())
        for name, sql in QUESTIONS.items()
    }


def timed(action) -> float:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def show(title: str, figures: dict[str, object]) -> None:
    print(title)
    for name, figure in figures.items():
        print(f"  {name:<28} {figure:,.3f}" if isinstance(figure, float) else f"  {name:<28} {figure:,}")
    sys.stdout.flush()


def main(days: int = 30, rows: int = 50) -> None:
    folder = tempfile.mkdtemp(prefix="compaction-")
    try:
        started = time.perf_counter()
        make(folder, days, rows)
        print(
            f"{days} days of {MINUTES_A_DAY:,} files, {rows} rows each: made in {time.perf_counter() - started:.0f} s"
        )
        store = open_store(LakeLocation(folder))
        target, past = open_target("lake", store), history.load(store)
        started = time.perf_counter()
        register.bring_up(store, target, past)
        print(f"registered in {time.perf_counter() - started:.1f} s")
        show("plain files", plain(folder))
        show("before", measure(folder))
        started = time.perf_counter()
        done = compact.compact(store, target, past, "sms", datetime.now(UTC) + timedelta(days=365))
        print(f"compacted {done} days in {time.perf_counter() - started:.1f} s")
        # The next epoch, as it comes in any lake: until then the newest snapshot also lists all that was replaced.
        publish(store, days * MINUTES_A_DAY + 1, rows)
        register.bring_up(store, target, history.load(store))
        show("after", measure(folder))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
