"""`schema --format trino` in a real Trino, over a real S3 server: every table, every row and column."""

import base64

import lakes
import pyarrow as pa
import pytest
import trino_server
from servers import versitygw
from test_schema import EVERYTHING, _drop_columns, plain, schema
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

__all__ = ["schema"]

BUCKET = "a-lake"
SHOWN = ("sms", "voice", "token_audit", "handset_change_v1", "quarantine")
"""All with files, and one with lists that has none; a question takes seconds here, the others are declared alike."""


def as_trino_says(value, kind):
    """A value as JSON from Trino has it."""
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if pa.types.is_date(kind):
        return value.isoformat()
    return base64.b64encode(value).decode() if pa.types.is_binary(kind) else value


@pytest.mark.heavy
@pytest.mark.timeout(1800)  # the first time it is fetched, 0.8 GB
def test_trino_runs_it(schema, tmp_path, monkeypatch):
    """Its Hive connector reads the declared tables as they are; a condition on `day` reads one day's folder."""
    by = trino_server.java()
    if by is None:
        pytest.skip(f"Trino {trino_server.VERSION} needs Java {trino_server.OLDEST_JAVA} or newer")
    with versitygw(tmp_path / "s3") as gateway:
        gateway.client().create_bucket(Bucket=BUCKET)
        for name, value in gateway.credentials.environment().items():
            monkeypatch.setenv(name, value)
        store = open_store(LakeLocation(f"s3://{BUCKET}/lakes/one", gateway.endpoint))
        lakes.lake_of_two_days(store)
        _drop_columns(store)
        text = schema("--format", "trino", "--lake", store.location.url)
        with trino_server.trino(tmp_path / "trino", gateway, by) as trino:
            for statement in text.split(";\n"):
                if any(line and not line.startswith("--") for line in statement.splitlines()):
                    trino.ask(statement)
            for name in SHOWN:
                columns = EVERYTHING[name]
                wanted = plain(store, name).select(columns.names)
                rows = [
                    [as_trino_says(row[field.name], field.type) for field in columns]
                    + [row["date"].isoformat()]
                    for row in wanted.to_pylist()
                ]
                found = trino.ask(f'SELECT * FROM "{name}"')
                assert sorted(found, key=repr) == sorted(rows, key=repr), name
            counted = trino.ask("SELECT count(*) FROM sms WHERE day = DATE '2026-11-24'")
            assert counted == [[20]]
