"""A scan that spans a replacement is right or fails, never wrong: for every number of reads before it.

An erasure replaces a file under its key while others read it, piece by piece. What has been read of the old file and
what is read of the new one must never be put together to rows that were in neither.
"""

import itertools
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import two_generations as two
from fault_server import FaultServer
from servers import Credentials, versitygw
from wgtwo_pipeline.lake import parquet
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

COLUMNS = [
    ["timestamp"],
    ["kind"],
    ["owner_phone_number"],
    ["timestamp", "sequence", "kind", "owner_phone_number", "duration", "id"],
]
ORDERS = [
    ["timestamp", "sequence", "kind", "owner_phone_number", "duration", "id"],
    ["kind", "owner_phone_number", "duration", "timestamp", "sequence", "id"],
]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in Credentials(two.ACCESS, two.SECRET).environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def scripted():
    with FaultServer().serve() as server:
        yield two.Scripted(server)


@pytest.fixture
def proxied(tmp_path):
    with versitygw(tmp_path / "versitygw") as gateway:
        gateway.client().create_bucket(Bucket=two.BUCKET)
        with two.Proxied(gateway) as server:
            yield server


def scans(server, reader, encode, layouts, erasures=two.ERASURES, columns=COLUMNS):
    """How scans end, over all layouts: files of one row group and of several, columns in two orders."""
    found = Counter()
    for rows, groups in layouts:
        for order in ORDERS:
            before = two.rows(rows).select(order)
            group_rows = -(-rows // groups)
            old = parquet.encode(before, group_rows)
            for erasure in erasures:
                after = two.ERASURES[erasure](before)
                new = encode(old, after, group_rows)
                for chosen in columns:
                    outcomes = two.outcomes(server, reader, chosen, old, new, before, after)
                    found[tuple(outcomes)] += 1
                    found.update(outcomes)
    return found


def reencode(old, after, _):
    return parquet.reencode(old, after, {"wgtwo.erasures": "[]"})


def twice(old, after, _):
    between = parquet.reencode(old, pq.read_table(pa.BufferReader(old)).slice(1), {})
    return parquet.reencode(between, after, {})


def encode(_, after, group_rows):
    """As publish writes files: what a replacement must not be."""
    return parquet.encode(after, group_rows)


@pytest.mark.parametrize("reader", two.PLAIN + two.OURS, ids=lambda reader: reader.__name__)
def test_right_or_an_error(scripted, reader):
    """Over files of three rows, of one row group and of several, and over all that can be taken out of them."""
    found = scans(scripted, reader, reencode, [(3, 1), (600, 3)])
    assert not found["WRONG"], found
    assert found["old"]
    assert found["error"]


def test_the_harness_finds_what_is_wrong(scripted):
    """With files as publish writes them some scans are silently wrong: for this the codecs differ.

    Which ones is a matter of what the readers' threads read first: it is tried until one was.
    """
    readers = (two.by_polars, two.by_pyarrow_chunk_by_chunk, two.by_duckdb)
    tries = itertools.product(range(10), readers, (["the first"], ["blanked"]))
    assert any(
        scans(scripted, reader, encode, [(600, 3)], erasures, COLUMNS[:3])["WRONG"]
        for _, reader, erasures in tries
    )


@pytest.mark.parametrize("reader", two.PLAIN + two.OURS, ids=lambda reader: reader.__name__)
def test_two_replacements_in_one_scan(scripted, reader):
    """Also a scan that begins before one replacement and goes on after the next, having seen nothing of the first."""
    found = scans(scripted, reader, twice, [(500, 1), (600, 3)], ["the first", "some"])
    assert not found["WRONG"], found


def test_two_codecs_would_not_do(scripted, monkeypatch):
    """With two in turn the second replacement begins as the file did, and some such scans are silently wrong."""
    monkeypatch.setattr(parquet, "_CODECS", ("zstd", "gzip"))
    found = Counter()
    for reader in (two.by_duckdb, two.by_polars, two.by_pyarrow_chunk_by_chunk):
        found += scans(scripted, reader, twice, [(500, 1), (600, 3)], ["the first"], COLUMNS[:3])
    assert found["WRONG"]


def test_pages_that_begin_a_little_later(scripted):
    """What stands before a page can be taken for a part of its header: `01 00`, with which pages did end, is a field
    that DuckDB does not know. Codecs that differ only where pages begin at the very same offsets would leave scans
    that are silently wrong, so the whole file's do.
    """
    before = two.rows(60).select(["id"])
    after = two.blanked(two.rows(60), ["id"]).select(["id"])
    old = parquet.encode(before, 60)
    ends = {}
    for name, new in {"alike": parquet.encode(after, 60), "ours": parquet.reencode(old, after, {})}.items():
        later = bytes(new[:4]) + b"\x01\x00" + bytes(new[4:]) + bytes(len(old))
        ends[name] = two.outcomes(scripted, two.by_duckdb, ["id"], old, later, before, before)
    assert "WRONG" in ends["alike"]
    assert "WRONG" not in ends["ours"]
    assert "error" in ends["ours"]


@pytest.mark.heavy
@pytest.mark.parametrize("reader", two.PLAIN + two.OURS, ids=lambda reader: reader.__name__)
def test_on_a_real_server(proxied, reader):
    """The same on a real S3 server, behind a proxy that replaces the object between two reads."""
    found = scans(proxied, reader, reencode, [(500, 1), (600, 3)], ["the first", "some"], COLUMNS[2:])
    assert not found["WRONG"], found
    assert found["old"]
    assert found["error"]


FROM_A_FOLDER = {
    "pyarrow": lambda path: pq.read_table(path, partitioning=None),
    "polars": lambda path: polars.read_parquet(path).to_arrow(),
    "duckdb": lambda path: duckdb.sql(
        f"FROM read_parquet('{path}', hive_partitioning = false)"
    ).to_arrow_table(),
}


@pytest.mark.parametrize("reader", FROM_A_FOLDER)
def test_from_a_folder(tmp_path, reader):
    """In a local folder, while a file is replaced again and again: each scan is one generation's rows, or fails."""
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    key = "tables/sms/day=2026-11-23/0000000001-000.parquet"
    rows = two.rows(20_000)
    store.create(key, parquet.encode(rows, 5_000))
    ids = rows["id"].to_pylist()
    generations, tagged, done = 60, store.read_tagged(key), threading.Event()

    def replace():
        data, tag = tagged
        for generation in range(1, generations):
            data = parquet.reencode(data, rows.slice(50 * generation), {})
            tag = store.replace(key, data, tag)
        done.set()

    ended = Counter()
    with ThreadPoolExecutor(1) as pool:
        replacing = pool.submit(replace)
        while not replacing.done() or not ended["right"]:
            try:
                found = FROM_A_FOLDER[reader](store.uri(key))["id"].to_pylist()
            except (Exception, polars.exceptions.PanicException):
                ended["error"] += 1
                continue
            taken = len(ids) - len(found)
            assert taken % 50 == 0, f"{len(found)} rows are of no generation"
            assert found == ids[taken:]
            ended["right"] += 1
        replacing.result()
