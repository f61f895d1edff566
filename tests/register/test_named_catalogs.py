"""A catalog of pyiceberg's configuration, by name: the same code commits there. Here pyiceberg's SQL catalog.

It stores a pointer to a table's metadata and compares it when it is moved, as Glue does; a REST catalog checks the
requirements that come with a commit.
"""

import threading
from datetime import UTC, datetime, timedelta

import lakes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalog_steps import in_order, rows_of
from pyiceberg.catalog import load_catalog
from pyiceberg.utils.config import Config
from wgtwo_pipeline.errors import CatalogError
from wgtwo_pipeline.lake import history, iceberg
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.register import expire, register
from wgtwo_pipeline.register.catalogs import open_target


@pytest.fixture
def warehouse(tmp_path, monkeypatch):
    """A catalog `ware` with a warehouse of its own."""
    monkeypatch.setenv("PYICEBERG_CATALOG__WARE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__WARE__URI", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__WARE__WAREHOUSE", f"file://{tmp_path}/warehouse")
    # pyiceberg reads its configuration when it is imported.
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())
    return tmp_path / "warehouse"


def lake(folder):
    store = open_store(LakeLocation(str(folder)))
    store.check()
    lakes.lake_of_two_days(store)
    return store


def plain(store, name):
    files = [pq.read_table(store.uri(info.key), partitioning=None) for info in store.list(f"tables/{name}/")]
    return in_order(pa.concat_tables(files))


def test_tables_stand_in_its_namespace(warehouse, tmp_path):
    """`--catalog NAME`: the tables are `wgtwo.<table>` there, with the lake's files; the lake itself gets none."""
    store = lake(tmp_path / "lake")
    register.bring_up(store, open_target("ware", store), history.load(store))
    assert set(load_catalog("ware").list_tables("wgtwo")) == {
        ("wgtwo", name) for name in ("sms", "voice", "handset_change_v1")
    }
    found = load_catalog("ware").load_table("wgtwo.sms")
    assert rows_of(found) == plain(store, "sms")
    assert found.properties[iceberg.REGISTERED_THROUGH] == "2"
    assert found.metadata_location.startswith(f"file://{warehouse}")
    assert list(store.list(iceberg.ROOT)) == []


def test_two_lakes_do_not_mix(warehouse, tmp_path):
    """A table that shows another lake is left alone, with the fix; a namespace of its own is one."""
    one, other = lake(tmp_path / "one"), lake(tmp_path / "other")
    register.bring_up(one, open_target("ware", one), history.load(one))
    with pytest.raises(CatalogError, match=r"shows the lake .*/one, not .*/other: name another namespace"):
        register.bring_up(other, open_target("ware", other), history.load(other))
    register.bring_up(other, open_target("ware.other", other), history.load(other))
    assert rows_of(load_catalog("ware").load_table("other.sms")) == plain(other, "sms")


def test_old_snapshots_go_with_their_metadata(warehouse, tmp_path):
    """A catalog's own metadata files are its own; what only expired snapshots referred to is deleted."""
    store = lake(tmp_path / "lake")
    target = open_target("ware", store)
    register.bring_up(store, target, history.load(store))
    for epoch in range(3, 6):
        lakes.journal(store, lakes.sms(10 * epoch, lakes.at(0, day=epoch)))
        lakes.publish(store)
        register.bring_up(store, target, history.load(store))
    lists = warehouse / "wgtwo" / "sms" / "metadata"
    before = len(list(lists.glob("snap-*.avro")))
    assert expire.expire(store, target, "sms", datetime.now(UTC) + timedelta(days=1.5))
    assert (before, len(list(lists.glob("snap-*.avro")))) == (4, 1)
    found = load_catalog("ware").load_table("wgtwo.sms")
    assert len(found.snapshots()) == 1
    assert rows_of(found) == plain(store, "sms")


def test_a_name_that_is_not_configured(tmp_path, monkeypatch):
    """The error says where pyiceberg looks."""
    store = lake(tmp_path / "lake")
    with pytest.raises(CatalogError, match=r"catalog nowhere: .*pyiceberg\.yaml"):
        open_target("nowhere", store)


def test_many_registrars_at_once(warehouse, tmp_path):
    """However many start at one moment, each file is shown once."""
    store = lake(tmp_path / "lake")
    register.bring_up(store, open_target("ware", store), history.load(store))
    for epoch in range(3, 6):
        lakes.journal(store, *(lakes.sms(10 * epoch + n, lakes.at(n, day=epoch)) for n in range(2)))
        lakes.publish(store)
        together = threading.Barrier(3)

        def work(together=together):
            target = open_target("ware", store)
            together.wait()
            register.bring_up(store, target, history.load(store))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert rows_of(load_catalog("ware").load_table("wgtwo.sms")) == plain(store, "sms")


def test_a_slow_registrar_does_not_set_the_number_back(warehouse, tmp_path, monkeypatch):
    """One that had nothing to show for its epochs, and is late, must not hide that others went on."""
    store = lake(tmp_path / "lake")
    target = open_target("ware", store)
    register.bring_up(store, target, history.load(store))
    lakes.journal(store, lakes.voice(77, lakes.at(7)))
    lakes.publish(store)  # epoch 3: nothing for sms
    say = register._say

    def late(transaction, table, step):
        say(transaction, table, step)
        if table.name()[-1] == "sms":
            monkeypatch.setattr(register, "_say", say)
            lakes.journal(store, lakes.sms(99, lakes.at(9)))
            lakes.publish(store)
            register.bring_up(store, open_target("ware", store), history.load(store))

    monkeypatch.setattr(register, "_say", late)
    register.bring_up(store, target, history.load(store))
    register.bring_up(store, target, history.load(store))
    found = load_catalog("ware").load_table("wgtwo.sms")
    assert found.properties[iceberg.REGISTERED_THROUGH] == "4"
    assert rows_of(found) == plain(store, "sms")
