"""The project's own readers, while an erasure replaces a file between any two of their reads: right, and no error.

The lake is on the scripted S3 server, which replaces a file of sms before the k-th read of it; for every k.
"""

import json
import os
import random

import duckdb
import lakes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_server import FaultServer
from servers import Credentials
from wgtwo_pipeline.ask import query
from wgtwo_pipeline.audit.audit import examine
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.events.tables import catalog, current_descriptors
from wgtwo_pipeline.lake import deduplicate, duck, parquet, reading
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.source.files import batches

ROWS = 3000
"""With texts that nothing compresses: a file that no reader takes in one piece."""
ROWS_IN_ORDER = "SELECT sequence, text FROM sms"
IDENTITY = ("timestamp", "sequence")


class Erased:
    """A lake with a file of `sms` that is replaced, by one without its first row, before the read that is told."""

    def __init__(self, server):
        self._server = server
        self.location = LakeLocation("s3://a-lake/p", server.endpoint)
        self.store = open_store(self.location)
        draw = random.Random(1)
        texts = [f"{draw.getrandbits(12_800):03200x}" for _ in range(ROWS)]
        lakes.journal(self.store, *(lakes.sms(n, lakes.at(n), text) for n, text in enumerate(texts)))
        self.manifest = lakes.publish(self.store, row_group_rows=1000)
        lakes.journal(
            self.store, lakes.sms(1, lakes.at(1), redelivered=True), lakes.sms(ROWS, lakes.at(ROWS))
        )
        [file] = self.manifest.files
        self.key = f"p/{file.key}"
        self.old = server.objects[self.key]
        rows = pq.read_table(pa.BufferReader(self.old), partitioning=None)
        self.new = bytes(parquet.reencode(self.old, rows.slice(1), {}))

    def at_every_read(self, read):
        """What `read` returns, for every number of reads before the replacement; the last one meets none."""
        while True:
            counted = [0]

            def before(method, key, after=0, counted=counted):
                if method == "GET" and key == self.key:
                    counted[0] += 1
                    if counted[0] > self._reads:
                        self._server.objects[key] = self.new

            self._server.objects[self.key] = self.old
            self._server.before = before
            yield read()
            if counted[0] <= self._reads:
                return
            self._reads += 1

    _reads = 0


@pytest.fixture
def erased(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in Credentials("testaccess", "testsecretkey").environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(reading.time, "sleep", lambda _: None)
    with FaultServer().serve() as server:
        yield Erased(server)


@pytest.mark.parametrize("fresh", [[], ["--fresh"]])
def test_query(erased, capsys, fresh):
    """An answer is that of the lake before or after, also with what is not yet published."""
    waiting = 1 if fresh else 0

    def ask():
        sql = "SELECT count(*) AS n, sum(sequence) AS total, count(DISTINCT text) AS texts FROM sms"
        options = ["--lake", erased.location.url, "--s3-endpoint", erased.location.s3_endpoint]
        assert main(["query", sql, *options, "--format", "json", *fresh]) == 0
        [row] = json.loads(capsys.readouterr().out)
        return row["n"] - waiting, row["total"] - waiting * ROWS, row["texts"] - waiting

    total = sum(range(ROWS))
    answers = list(erased.at_every_read(ask))
    assert set(answers) == {(ROWS, total, ROWS), (ROWS - 1, total, ROWS - 1)}
    assert len(answers) > 3


def test_a_beam_pipeline(erased):
    """Rows are emitted once each, before or after: what has been emitted is not taken back."""
    table = catalog(current_descriptors())["sms"]
    file = erased.manifest.files[0].key

    def read():
        found = [batch["sequence"].to_pylist() for batch in batches(erased.store, file, table, ["text"])]
        return [sequence for part in found for sequence in part]

    answers = list(erased.at_every_read(read))
    assert all(answer in GENERATIONS for answer in answers)
    assert answers[0] == GENERATIONS[1]
    assert answers[-1] == GENERATIONS[0]
    assert len(answers) > 3


GENERATIONS = (list(range(ROWS)), list(range(1, ROWS)))


def sequences(kind, data):
    """The column of an answer, read as whoever gets it would."""
    if kind == "csv":
        return [int(line.split(",")[0]) for line in data.decode().split()[1:]]
    if kind == "json":
        return [row["sequence"] for row in json.loads(data)]
    return pq.read_table(pa.BufferReader(data))["sequence"].to_pylist()


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_an_output_is_whole_or_not_there(erased, kind, tmp_path):
    """`query --output` begins again, also after rows were written: the file has no row twice and misses none."""
    path = tmp_path / f"answer.{kind}"
    options = ["--lake", erased.location.url, "--s3-endpoint", erased.location.s3_endpoint]

    def ask():
        path.unlink(missing_ok=True)
        assert main(["query", ROWS_IN_ORDER, *options, "--output", str(path)]) == 0
        assert [each.name for each in tmp_path.iterdir()] == [path.name]
        return sequences(kind, path.read_bytes())

    answers = list(erased.at_every_read(ask))
    assert all(each in GENERATIONS for each in answers)
    assert {len(each) for each in answers} == {ROWS, ROWS - 1}
    assert len(answers) > 3


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_what_is_printed_is_right_or_said_to_be_wrong(erased, kind, capfdbinary, monkeypatch):
    """On standard output what is written cannot be taken back: exit 0 and every row once, or exit 1 and why."""
    monkeypatch.setattr(query, "BATCH_ROWS", 500)
    options = ["--lake", erased.location.url, "--s3-endpoint", erased.location.s3_endpoint]

    def ask():
        code = main(["query", ROWS_IN_ORDER, *options, "--format", kind])
        out, err = capfdbinary.readouterr()
        if code == 0:
            assert sequences(kind, out) in GENERATIONS
        else:
            assert code == 1
            assert b"believe nothing" in err
        return code

    answers = list(erased.at_every_read(ask))
    assert answers[-1] == 0
    assert len(answers) > 3


def test_a_second_answer_that_is_printed_is_never_begun(erased, capfdbinary, monkeypatch):
    """A file that is replaced after rows of the answer are out: nothing is printed again."""
    monkeypatch.setattr(query, "BATCH_ROWS", 500)
    written = []

    def write(reader, kind, out):
        for batch in reader:
            written.append(batch["sequence"].to_pylist())
            if len(written) == 1:
                raise duckdb.IOException("a file was replaced")

    monkeypatch.setattr(query, "_write", write)
    monkeypatch.setattr(duck.Database, "changed", lambda *_: True)
    options = ["--lake", erased.location.url, "--s3-endpoint", erased.location.s3_endpoint]
    assert main(["query", ROWS_IN_ORDER, *options, "--format", "csv"]) == 1
    assert written == [list(range(500))]
    assert b"believe nothing" in capfdbinary.readouterr().err


def test_deduplication(erased):
    """The identities that an earlier epoch published are those of one generation of its file."""
    moments = lakes.at(0), lakes.at(ROWS)

    def known():
        [found] = deduplicate.earlier_identities(erased.store, erased.manifest.files, IDENTITY, *moments)
        return tuple(found["sequence"].to_pylist())

    answers = list(erased.at_every_read(known))
    assert set(answers) == {tuple(range(ROWS)), tuple(range(1, ROWS))}
    assert len(answers) > 1


@pytest.mark.parametrize("deep", [False, True])
def test_audit(erased, deep):
    """It ends, and what it finds is what nobody accounts for here: that this file has changed, and nothing else."""

    def audit():
        findings, _ = examine(erased.store, deep=deep)
        return {(each.kind, each.where) for each in findings.kept}

    key = erased.key.removeprefix("p/")
    for found in erased.at_every_read(audit):
        assert found <= {("changed_file", key), ("missing_row", "epoch 1, tables/sms/day=2026-11-23")}
