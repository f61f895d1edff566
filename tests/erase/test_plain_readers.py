"""Whoever reads the tables while half of all subscribers are erased sees every other event, once, at every moment."""

import threading
from pathlib import Path

import duckdb
import polars
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from lakes import at, journal, publish
from lakes_erased import eraser, revoke, sms_of
from servers import versitygw
from wgtwo_pipeline.erase.settings import ByHand
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

SUBSCRIBERS, EVENTS, EPOCHS = 20, 400, 4
ERASURES = 5
BUCKET = "a-lake"


def number(subscriber):
    return f"+4790000{subscriber:03d}"


def filled(store):
    """Events of all subscribers in each file; the sequences of those who stay."""
    stay = set()
    for epoch in range(EPOCHS):
        sequences = range(epoch * EVENTS, (epoch + 1) * EVENTS)
        journal(store, *(sms_of(number(n % SUBSCRIBERS), n + 1, at(n)) for n in sequences))
        publish(store)
        stay |= {n + 1 for n in sequences if n % SUBSCRIBERS >= SUBSCRIBERS // 2}
    journal(store, *(revoke(number(n), 10_000 + n, at(9999)) for n in range(SUBSCRIBERS // 2 - ERASURES)))
    publish(store)
    return stay


class Reader(threading.Thread):
    """Reads the table again and again, until it is told to stop; `wrong` says what it should not have seen."""

    def __init__(self, name, read, stay):
        super().__init__(name=name, daemon=True)
        self._read, self._stay = read, stay
        self.stopping = threading.Event()
        self.right = self.failed = 0
        self.wrong = []

    def run(self):
        while not self.stopping.is_set():
            try:
                found = self._read()
            except (Exception, polars.exceptions.PanicException):
                # right or fails: a scan that spans a replacement is begun again
                self.failed += 1
                continue
            twice = len(found) - len(set(found))
            missing = self._stay - set(found)
            if twice or missing:
                self.wrong.append(f"{self.name}: {twice} twice, {len(missing)} missing")
            self.right += 1


def watched(store, readers):
    """Erases half of the subscribers, in several erasures, while the readers read."""
    stay = filled(store)
    threads = [Reader(name, read, stay) for name, read in readers.items()]
    for thread in threads:
        thread.start()
    try:
        receipts = list(eraser(store).erase())
        for n in range(SUBSCRIBERS // 2 - ERASURES, SUBSCRIBERS // 2):
            asked = ByHand(numbers_file="given", before=at(9999))
            receipts += eraser(store).erase(asked, [number(n)])
    finally:
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join()
    assert len(receipts) == 1 + ERASURES
    assert sum(each.erased["sms"] for each in receipts) == EPOCHS * EVENTS // 2
    for thread in threads:
        assert thread.wrong == []
        assert thread.right > 2, f"{thread.name} has hardly read: this shows little"
        assert set(thread._read()) == stay


def test_in_a_folder(tmp_path):
    """pyarrow, DuckDB and polars over a local folder."""
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    folder = f"{tmp_path}/lake/tables/sms"
    watched(
        store,
        {
            "pyarrow": lambda: pq.read_table(folder)["sequence"].to_pylist(),
            "DuckDB": lambda: [
                row[0]
                for row in duckdb.connect()
                .execute(f"SELECT sequence FROM read_parquet('{folder}/*/*.parquet')")
                .fetchall()
            ],
            "polars": lambda: (
                polars.scan_parquet(f"{folder}/").select("sequence").collect()["sequence"].to_list()
            ),
        },
    )


@pytest.mark.heavy
def test_on_s3(tmp_path: Path, monkeypatch):
    """The same three over a real S3 server."""
    with versitygw(tmp_path / "s3") as server:
        server.client().create_bucket(Bucket=BUCKET)
        for name, value in server.credentials.environment().items():
            monkeypatch.setenv(name, value)
        store = open_store(LakeLocation(f"s3://{BUCKET}/lake", server.endpoint))
        store.check()
        table = f"{BUCKET}/lake/tables/sms"
        options = {
            "aws_access_key_id": server.credentials.access_key,
            "aws_secret_access_key": server.credentials.secret_key,
            "aws_endpoint_url": server.endpoint,
            "aws_region": "us-east-1",
            "aws_allow_http": "true",
        }

        def from_duckdb():
            connection = duckdb.connect()
            connection.register_filesystem(store.filesystem())
            query = f"SELECT sequence FROM read_parquet('s3://{table}/*/*.parquet')"
            return [row[0] for row in connection.execute(query).fetchall()]

        def from_polars():
            scan = polars.scan_parquet(f"s3://{table}/", storage_options=options)
            return scan.select("sequence").collect()["sequence"].to_list()

        def from_pyarrow():
            filesystem = pyarrow.fs.S3FileSystem(
                access_key=server.credentials.access_key,
                secret_key=server.credentials.secret_key,
                endpoint_override=server.endpoint,
                scheme="http",
            )
            return pq.read_table(table, filesystem=filesystem)["sequence"].to_pylist()

        watched(store, {"pyarrow": from_pyarrow, "DuckDB": from_duckdb, "polars": from_polars})
