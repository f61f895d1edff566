"""`register`, `run --catalog lake` and what `status` says of it, as a user types them."""

import json

import lakes
import pytest
from catalog_steps import in_order
from pyiceberg.table import StaticTable
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.lake.open import open_store, open_to_write
from wgtwo_pipeline.lake.store import LakeLocation


@pytest.fixture
def folder(tmp_path):
    open_to_write(LakeLocation(str(tmp_path / "lake")))
    return tmp_path / "lake"


def status(folder, capsys):
    capsys.readouterr()
    assert main(["status", "--json", "--lake", str(folder)]) == 0
    return json.loads(capsys.readouterr().out)["registered"]


def test_register_and_status(folder, capsys):
    """`status` says how many epochs the slowest table is behind, and nothing where there is no catalog."""
    store = open_store(LakeLocation(str(folder)))
    lakes.lake_of_two_days(store)
    assert status(folder, capsys) is None
    assert main(["register", "--lake", str(folder)]) == 0
    assert "registered 4 files; 3 tables show the epochs up to 2" in capsys.readouterr().err
    tables = {"handset_change_v1": 2, "sms": 2, "voice": 2}
    assert status(folder, capsys) == {"through": 2, "behind": 0, "tables": tables}
    lakes.journal(store, lakes.sms(200, lakes.at(9)))
    lakes.publish(store)
    assert status(folder, capsys) == {"through": 2, "behind": 1, "tables": tables}
    assert main(["status", "--lake", str(folder)]) == 0
    assert (
        "3 tables show the epochs up to 2, 1 epochs behind: `wgtwo-pipeline register`"
        in capsys.readouterr().out
    )
    assert main(["audit", "--lake", str(folder)]) == 0


def test_register_leaves_figures(folder, tmp_path):
    """When it last succeeded, and how often; after a failure as well."""
    lakes.lake_of_two_days(open_store(LakeLocation(str(folder))))
    file = tmp_path / "register.prom"
    assert main(["register", "--lake", str(folder), "--metrics-file", str(file)]) == 0
    assert main(["register", "--lake", str(folder), "--catalog", "nowhere", "--metrics-file", str(file)]) == 1
    text = file.read_text()
    for outcome in ("done", "failed"):
        assert f'wgtwo_register_registrations_total{{outcome="{outcome}"}} 1.0' in text
    assert "wgtwo_register_last_success_timestamp_seconds 1" in text


def test_a_lake_that_is_not_there(tmp_path, capsys):
    """Nothing is created: the folder may be a disk that is not mounted."""
    assert main(["register", "--lake", str(tmp_path / "nowhere")]) == 1
    assert "--lake names another" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_catalog_that_nobody_knows(folder, capsys):
    """The name is said, and where pyiceberg looks."""
    assert main(["register", "--lake", str(folder), "--catalog", "nowhere"]) == 1
    assert "catalog nowhere: " in capsys.readouterr().err


def test_compaction_is_the_lake_s_own(folder, capsys):
    """Another catalog has engines that compact: refused before anything is looked at, by the option's name."""
    assert main(["register", "--lake", str(folder), "--catalog", "glue", "--compact"]) == 2
    assert "--compact works in the lake's own catalog only" in capsys.readouterr().err


def test_run_keeps_a_catalog(command, tmp_path):
    """`run --catalog lake`: when it ends, the tables show everything that it has published."""
    lake = tmp_path / "lake"
    run = command("run", "--max-events", 300, "--catalog", "lake", "--publish-every", "1s", "--lake", lake)
    said = run.succeeds()
    assert "registered files" in said.stdout, "the audit at its end compares them"
    store = open_store(LakeLocation(str(lake)))
    names = {info.key.split("/")[1] for info in store.list("tables/")}
    rows = [StaticTable.from_metadata(f"{lake}/iceberg/{name}").scan().to_arrow() for name in names]
    assert sum(table.num_rows for table in rows) >= 300
    assert all(in_order(table) for table in rows)
    found = json.loads(command("status", "--json", "--lake", lake).succeeds().stdout)
    assert found["registered"]["behind"] == 0
    assert sum(table.num_rows for table in rows) == found["published"]
