"""Addresses and names as people write them: every character counts, and what is meant otherwise is refused."""

from pathlib import Path

import pytest
from fault_server import FaultServer
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.s3 import S3LakeStore
from wgtwo_pipeline.lake.store import LakeLocation


@pytest.mark.parametrize(
    "prefix", ["team#1/lake", "what?/lake", "a b", "ø/x", "100%25", "a+b", "x;y=z", "q?a=b#c"]
)
def test_every_character_belongs_to_the_key(monkeypatch, showed, prefix):
    """An S3 prefix is a key, not a URL: nothing in it ends it."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    with FaultServer().serve() as server:
        store = S3LakeStore(LakeLocation(f"s3://a-lake/{prefix}", server.endpoint), patience_seconds=0)
        store.check()
        store.create("epochs/1", b"x")
        assert list(server.objects) == [f"{prefix}/epochs/1"]
        assert [info.key for info in store.list("epochs/")] == ["epochs/1"]
        assert bytes(store.read("epochs/1")) == b"x"
    showed(f"the object is at {prefix}/epochs/1")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///data/x#y", "/data/x#y"),
        ("file:///data/what?/x", "/data/what?/x"),
        ("file:///a%20b", "/a b"),
        ("file://localhost/data", "/data"),
        ("file:/data", "/data"),
        ("data#1?x", f"{Path.cwd()}/data#1?x"),
    ],
)
def test_a_folder_is_where_it_says(url, path, showed):
    """A `file:` URL and a plain path name the folder with all its characters."""
    assert open_store(LakeLocation(url)).location.url == path
    showed(path)


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("file://./lake", "write ./lake"),
        ("file://data/lake", "write file:///data/lake, or ./data/lake"),
        ("file:lake", "write file:///lake, or ./lake"),
        ("s3:/bucket/lake", "s3://bucket/prefix"),
        ("gs://bucket/lake", "s3://bucket/prefix"),
    ],
)
def test_what_would_be_another_lake_is_refused(url, fix, showed):
    """A URL that names a host or another storage ends with the right spelling, not with another folder."""
    with pytest.raises(ConfigurationError) as error:
        open_store(LakeLocation(url))
    assert fix in str(error.value)
    showed(str(error.value))


def test_a_durable_name_that_is_too_long(machine, showed):
    """A name that no folder can have is refused at the start, not at the first event."""
    for name, sentence in (("n" * 201, "at most 200 characters"), ("ø" * 40, "too long to name a folder")):
        ended = machine.run("ingest", "--endpoint", "127.0.0.1:9", "--plaintext", "--durable-name", name)
        assert ended.returncode == 2, ended.stderr
        assert "--durable-name" in ended.stderr
        assert sentence in ended.stderr
    showed(ended.stderr)


def test_a_home_that_nobody_has(machine, showed):
    """`~name` of no user is refused: it would be a folder of that name."""
    for arguments in (
        ["status", "--lake", "~nobody-at-all/lake"],
        ["status", "--config", "~nobody-at-all/x.toml"],
    ):
        ended = machine.run(*arguments)
        assert ended.returncode == 2
        assert "~nobody-at-all has no home folder on this machine: write the path whole" in ended.stderr
    showed(ended.stderr)
