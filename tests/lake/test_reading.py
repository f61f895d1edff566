"""Reads of several steps begin again when what they read was replaced meanwhile, a bounded number of times."""

import duckdb
import pyarrow as pa
import pytest
from wgtwo_pipeline.errors import ChangedError, LakeError
from wgtwo_pipeline.lake import parquet, reading
from wgtwo_pipeline.lake.duck import database
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

KEY = "tables/sms/day=2026-11-23/0000000001-000.parquet"


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """How long it would have waited, in seconds."""
    waited = []
    monkeypatch.setattr(reading.time, "sleep", waited.append)
    return waited


def test_begins_again(pauses):
    """As often as it meets a change, with pauses, and gives what it reads in the end."""
    met = iter([ChangedError("a"), ChangedError("b"), None])

    def read():
        if (error := next(met)) is not None:
            raise error
        return "read"

    assert reading.while_unchanged(read) == "read"
    assert len(pauses) == 2


def test_gives_up(pauses):
    """After eight attempts and at most some seconds it raises what the last one met."""
    attempts = []

    def read():
        attempts.append(None)
        raise ChangedError(f"{len(attempts)}")

    with pytest.raises(ChangedError, match=r"^8 "):
        reading.while_unchanged(read)
    assert len(attempts) == reading.ATTEMPTS
    assert sum(pauses) < 7


def test_another_fault_is_not_a_change(pauses):
    """What is no replacement is raised at once."""
    attempts = []

    def read():
        attempts.append(None)
        raise LakeError("down")

    with pytest.raises(LakeError, match="down"):
        reading.while_unchanged(read)
    assert len(attempts) == 1


@pytest.fixture
def store(tmp_path):
    opened = open_store(LakeLocation(str(tmp_path / "lake")))
    opened.check()
    opened.create(KEY, parquet.encode(pa.table({"x": range(100)}), 100))
    return opened


def test_duckdb_is_asked_again_in_a_folder(store):
    """A query that fails while a watched file is replaced is asked again, and answers of the new one."""
    asked = []

    def question(connection):
        asked.append(None)
        if len(asked) == 1:  # as when it meets bytes of both
            data, tag = store.read_tagged(KEY)
            store.replace(KEY, parquet.reencode(data, pa.table({"x": range(99)}), {}), tag)
            raise duckdb.IOException("no Parquet")
        return connection.execute(f"SELECT count(*) FROM read_parquet('{store.uri(KEY)}')").fetchall()

    with database(store) as files:
        files.watch([store.uri(KEY)])
        assert files.ask(question) == [(99,)]
        assert len(asked) == 2
        assert not files.changed()


def test_a_question_of_nothing_replaced_is_asked_once(store):
    """A mistake in a query, or a file that is broken, is said at once."""
    asked = []

    def question(connection):
        asked.append(None)
        return connection.execute("SELECT missing").fetchall()

    with database(store) as files:
        files.watch([store.uri(KEY)])
        with pytest.raises(duckdb.BinderException, match="missing"):
            files.ask(question)
        assert len(asked) == 1
        store.delete([KEY])
        assert files.changed()
