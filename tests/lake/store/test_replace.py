"""What every store promises of replacing an object: one step, on condition that it is the one that was read.

Over a local folder, the double of other tests, moto (which shows that the requests are right) and, heavy, versitygw.
"""

import pytest
from memory_store import MemoryStore
from wgtwo_pipeline.errors import ChangedError, NotFoundError
from wgtwo_pipeline.lake.open import open_store

KEY = "tables/sms/day=2026-11-23/0000000001-000.parquet"


@pytest.fixture(params=["local", "memory", "moto", pytest.param("versitygw", marks=pytest.mark.heavy)])
def lake(request, tmp_path):
    if request.param == "memory":
        return MemoryStore()
    location = request.getfixturevalue("location_of")(request.param)
    opened = open_store(location)
    opened.check()
    return opened


@pytest.fixture
def small_parts(monkeypatch):
    """Objects of a few bytes are put in parts where a store does so."""
    monkeypatch.setattr("wgtwo_pipeline.lake.s3_puts.MULTIPART_BYTES", 3)


def test_replaces_what_was_read(lake):
    """The new object is there whole when `replace` returns, under the same key, with another tag: the next one's."""
    lake.create(KEY, b"old")
    data, tag = lake.read_tagged(KEY)
    assert bytes(data) == b"old"
    for content in (b"new!", b"newer", b"", b"old"):
        former, tag = tag, lake.replace(KEY, content, tag)
        assert bytes(lake.read(KEY)) == content
        assert lake.read_tagged(KEY)[1] == tag != former
    assert [(info.key, info.size) for info in lake.list("")] == [(KEY, 3)]
    assert bytes(data) == b"old"


def test_an_outdated_tag_replaces_nothing(lake):
    """Who read before another's replacement is refused and changes nothing; read again, it may."""
    lake.create(KEY, b"old")
    _, tag = lake.read_tagged(KEY)
    lake.replace(KEY, b"another's", tag)
    for content in (b"mine", b"", b"same size"):
        with pytest.raises(ChangedError, match=KEY) as caught:
            lake.replace(KEY, content, tag)
        assert caught.value.key == KEY
        assert bytes(lake.read(KEY)) == b"another's"
    lake.replace(KEY, b"mine", lake.read_tagged(KEY)[1])
    assert bytes(lake.read(KEY)) == b"mine"


def test_a_deleted_object_does_not_come_back(lake):
    """What was deleted since it was read stays deleted, and what never was can't be read."""
    lake.create(KEY, b"old")
    _, tag = lake.read_tagged(KEY)
    lake.delete([KEY])
    with pytest.raises(ChangedError, match=KEY):
        lake.replace(KEY, b"new", tag)
    assert list(lake.list("")) == []
    with pytest.raises(NotFoundError, match=KEY):
        lake.read_tagged(KEY)


def test_the_same_replacement_again_succeeds(lake):
    """Repeating a replacement with its old tag is as doing it once: an unknown outcome is settled so."""
    lake.create(KEY, b"old")
    _, tag = lake.read_tagged(KEY)
    assert lake.replace(KEY, b"new", tag) == lake.replace(KEY, b"new", tag) == lake.read_tagged(KEY)[1]


@pytest.mark.parametrize("lake", [pytest.param("versitygw", marks=pytest.mark.heavy)], indirect=True)
def test_in_parts(lake, small_parts):
    """An object that is put in parts is replaced on the same condition; moto knows it only for whole ones."""
    lake.create(KEY, b"old object")
    _, tag = lake.read_tagged(KEY)
    new = lake.replace(KEY, b"new object", tag)
    assert lake.replace(KEY, b"new object", tag) == new == lake.read_tagged(KEY)[1]
    with pytest.raises(ChangedError):
        lake.replace(KEY, b"another", tag)
    lake.delete([KEY])
    with pytest.raises(ChangedError):
        lake.replace(KEY, b"another", new)
    assert list(lake.list("")) == []
