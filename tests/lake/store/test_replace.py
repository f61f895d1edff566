"""What every store promises of replacing an object: one step, on condition that it is the one that was read.

Over a local folder, the double of other tests, moto (which shows that the requests are right) and, heavy, versitygw.
"""

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from memory_store import MemoryStore
from wgtwo_pipeline.errors import ChangedError, NotFoundError
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.reading import while_unchanged
from wgtwo_pipeline.lake.store import Protections

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


def test_a_deletion_is_final_for_replacers(lake):
    """However a deletion and replacements fall together, what `delete` has taken away does not come back."""
    for _ in range(20):
        lake.create(KEY, b"old")
        _, tag = lake.read_tagged(KEY)

        def replace(number, tag=tag):
            with contextlib.suppress(ChangedError):
                lake.replace(KEY, b"new %d" % number, tag)

        with ThreadPoolExecutor(4) as pool:
            for number in range(3):
                pool.submit(replace, number)
            pool.submit(lake.delete, [KEY]).result()
        assert list(lake.list("")) == []


def test_an_opened_object_stays_what_it_was(lake):
    """Reads of an object that was opened before its replacement give the old bytes or ChangedError, never new ones;
    opened again, it is the new one.
    """
    old, new = os.urandom(400_000), os.urandom(399_999)
    lake.create(KEY, old)
    _, tag = lake.read_tagged(KEY)
    with lake.open(KEY) as file:
        assert file.read(10) == old[:10]
        lake.replace(KEY, new, tag)
        for start in (150_000, 390_000, 0):
            with contextlib.suppress(ChangedError):
                file.seek(start)
                assert file.read(100_000) == old[start : start + 100_000]
    with lake.open(KEY) as file:
        assert file.read() == new


def test_what_a_double_read_of_two_generations_is(lake):
    """A read that meets a replacement begins again and ends with the new object."""
    lake.create(KEY, b"a" * 300_000)
    _, tag = lake.read_tagged(KEY)
    steps = iter([lambda: lake.replace(KEY, b"b" * 200_000, tag)])

    def read():
        with lake.open(KEY) as file:
            first = file.read(100_000)
            next(steps, lambda: None)()
            return first + file.read()

    assert while_unchanged(read) in (b"a" * 300_000, b"b" * 200_000)


def test_versions_and_protections_of_what_has_none(lake):
    """Where nothing keeps old bytes there is nothing to delete and nothing to say."""
    lake.create(KEY, b"old")
    lake.replace(KEY, b"new", lake.read_tagged(KEY)[1])
    assert lake.delete_versions([KEY, "never/was"]) == ""
    assert bytes(lake.read(KEY)) == b"new"
    assert lake.protections() == Protections()


COUNTING = """
import os, sys
from wgtwo_pipeline.errors import ChangedError
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
lake = open_store(LakeLocation(*sys.argv[1:3]) if sys.argv[2] else LakeLocation(sys.argv[1]))
for _ in range(int(sys.argv[3])):
    while True:
        data, tag = lake.read_tagged("count")
        try:
            # Who counts is part of it: the same content from two would be one replacement.
            lake.replace("count", b"%d by %d" % (int(bytes(data).split()[0]) + 1, os.getpid()), tag)
        except ChangedError:
            continue
        print("counted", flush=True)
        break
"""


@pytest.mark.parametrize("kind", ["local", pytest.param("versitygw", marks=pytest.mark.heavy)])
def test_processes_race_and_one_is_killed(kind, location_of):
    """Of replacements by several processes none is lost, also when one of them is killed in the middle of one."""
    location = location_of(kind)
    store = open_store(location)
    store.check()
    store.create("count", b"0 by nobody")
    arguments = [sys.executable, "-c", COUNTING, location.url, location.s3_endpoint or ""]
    counters = [
        subprocess.Popen([*arguments, str(times)], stdout=subprocess.PIPE, text=True)
        for times in (10**6, 100, 100, 100)
    ]
    killed = counters[0]
    confirmed = sum(killed.stdout.readline() == "counted\n" for _ in range(30))
    killed.kill()
    confirmed += sum(counter.communicate()[0].count("counted\n") for counter in counters)
    assert [counter.returncode for counter in counters] == [-signal.SIGKILL, 0, 0, 0]
    assert confirmed >= 330
    # Killed between its replacement and the word of it, one more is there than it has confirmed.
    assert int(bytes(store.read("count")).split()[0]) - confirmed in (0, 1)
