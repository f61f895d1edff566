"""A key says all that it should, and nothing else is taken for one."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wgtwo_pipeline.lake.layout import QUARANTINE, FilePath

PATHS = st.builds(
    FilePath,
    table=st.sampled_from(["sms", "handset_change_v1"]),
    day=st.dates(datetime.date(1900, 1, 1)),
    hour=st.none() | st.integers(0, 23),
    epoch=st.integers(1, 10**10 - 1),
    number=st.integers(0, 2_000),
)
KEY = "tables/sms/day=2026-11-23/0000000012-000.parquet"


@given(PATHS)
def test_a_key_is_read_as_what_it_was_written_from(path):
    """Every path comes back from its key, of a table by days or by hours and of the quarantine."""
    assert FilePath.parse(path.key) == path
    quarantined = FilePath(QUARANTINE, path.day, None, path.epoch, path.number)
    assert FilePath.parse(quarantined.key) == quarantined


def test_keys_are_the_promised_ones():
    """Other programs rely on where the files are: the key is `day`, and an hour comes after it."""
    day = datetime.date(2026, 11, 23)
    assert FilePath("sms", day, None, 12).key == KEY
    assert FilePath("sms", day, 9, 12, 1).key == "tables/sms/day=2026-11-23/hour=09/0000000012-001.parquet"
    assert FilePath(QUARANTINE, day, None, 12).key == "quarantine/day=2026-11-23/0000000012.parquet"
    assert FilePath(QUARANTINE, day, None, 12, 1).key == "quarantine/day=2026-11-23/0000000012-001.parquet"


@pytest.mark.parametrize(
    "key",
    [
        KEY.replace("0000000012-000", "._0000000012-000"),
        KEY.replace("0000000012-000", "0000000012-000 (1)"),
        KEY.replace("0000000012-000", "0000000012-000-MacBook"),
        KEY.replace("0000000012-000", "0000000012"),
        KEY.replace("0000000012-000.parquet", "_SUCCESS"),
        KEY.replace(".parquet", ".parquet.part"),
        KEY.replace("day=", "date="),
        KEY.replace("2026-11-23", "2026-02-30"),
        KEY.replace("/0000", "/hour=24/0000"),
        KEY.replace("/0000", "/hour=9/0000"),
        KEY.replace("sms/", "sms/old/"),
        "tables/day=2026-11-23/0000000012-000.parquet",
        "iceberg/" + KEY,
    ],
)
def test_what_only_looks_like_one_is_none(key):
    """Hidden files, markers, the copies of sync clients and other layouts are no files of a table."""
    assert FilePath.parse(key) is None
