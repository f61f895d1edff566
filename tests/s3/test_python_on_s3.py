"""`wgtwo_pipeline.Lake` on a real S3 server, with no more rights than a reader's policy gives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lakes
import pytest
from least_rights import BUCKET, PREFIX, grant, secret
from servers import Credentials, versitygw
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(120)]

ASKS = """
import json, sys
from wgtwo_pipeline import Lake
lake = Lake(sys.argv[1], s3_endpoint=sys.argv[2])
counted = lake.sql("SELECT count(*) AS n FROM events")["n"][0].as_py()
print(json.dumps([counted, lake.status()["published"], lake.audit(deep=True)["passed"]]))
"""


def test_a_reader_asks(tmp_path: Path, monkeypatch):
    """SQL, status and a deep audit need to list and read, nothing else; credentials come from the environment."""
    with versitygw(tmp_path / "versitygw") as server:
        server.client().create_bucket(Bucket=BUCKET)
        grant(server, BUCKET, "reader")
        for name, value in server.credentials.environment().items():
            monkeypatch.setenv(name, value)
        lakes.lake_of_two_days(open_store(LakeLocation(f"s3://{BUCKET}/{PREFIX}", server.endpoint)))
        ended = subprocess.run(
            [sys.executable, "-c", ASKS, f"s3://{BUCKET}/{PREFIX}", server.endpoint],
            capture_output=True, text=True, timeout=100,
            env=os.environ | Credentials("reader", secret("reader")).environment(),
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [37, 37, True]
