"""`report` on a real S3 server, with no more rights than a reader's policy gives."""

import sys
from pathlib import Path

import pytest
from least_rights import BUCKET, PREFIX, grant
from processes import Command
from servers import versitygw
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))

from report_lake import fill, tables

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.fixture
def gateway(tmp_path: Path):
    with versitygw(tmp_path / "versitygw") as server:
        server.client().create_bucket(Bucket=BUCKET)
        grant(server, BUCKET, "reader")
        yield server


def test_a_reader_s_page_is_that_of_the_same_lake_in_a_folder(gateway, command, tmp_path, monkeypatch):
    """Every table of it, but for what depends on when an epoch was committed."""
    for name, value in gateway.credentials.environment().items():
        monkeypatch.setenv(name, value)
    fill(open_store(LakeLocation(f"s3://{BUCKET}/{PREFIX}", gateway.endpoint)))
    folder = open_store(LakeLocation(str(tmp_path / "lake")))
    folder.check()
    fill(folder)
    pages = []
    command("reader", "report", "--output", tmp_path / "s3.html").succeeds(90)
    local = Command(
        tmp_path / "output", "report", "--lake", tmp_path / "lake", "--output", tmp_path / "folder.html"
    )
    local.succeeds(90)
    for name in ("s3.html", "folder.html"):
        page = tables((tmp_path / name).read_text())
        arrival = [row["event to arrival"] for row in page.pop("latency")]
        pages.append((arrival, page))
    assert pages[0] == pages[1]
    assert {"events", "quarantine", "gaps", "epochs", "files", "countries", "calls"} <= set(pages[0][1])
    assert gateway.credentials.secret_key not in (tmp_path / "s3.html").read_text()
