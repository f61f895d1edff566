"""A lake says its format before it holds anything, and no program works on one of another format."""

import json
from concurrent.futures import ThreadPoolExecutor

import lakes
import pytest
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake import lake_format
from wgtwo_pipeline.lake.open import open_store, open_to_read, open_to_write
from wgtwo_pipeline.lake.store import LakeLocation

READERS = (["query", "SELECT 1"], ["status"], ["audit"])
WRITERS = (["publish"], ["ingest", "--endpoint", "127.0.0.1:9", "--plaintext"], ["run", "--for", "1s"])
OLDER = {"epochs/0000000001/sealed.json": b'{"format": 1}'}


@pytest.fixture
def store(tmp_path):
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    return store


def of_format(store, number):
    if number == 1:
        for key, data in OLDER.items():
            store.create(key, data)
    else:
        store.create("lake.json", json.dumps({"format": number}).encode())


def test_the_first_object_says_the_format(store):
    """Before the first segment, and once however many write at the same time."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: lakes.journal(store, lakes.sms(n)), range(4)))
    assert json.loads(bytes(store.read("lake.json"))) == {"lake": "wgtwo-pipeline", "format": 2}
    created = {info.key: info.modified for info in store.list("")}
    assert created["lake.json"] == min(created.values()), (
        "a file system's clock ticks a few times in a hundredth"
    )


@pytest.mark.parametrize("command", [*READERS, *WRITERS], ids=lambda command: command[0])
@pytest.mark.parametrize(("number", "fix"), [(1, "begin a new lake"), (3, "install a newer wgtwo-pipeline")])
def test_every_command_refuses_another_format(store, command, number, fix, capsys):
    """In one sentence that names the fix; nothing is created, so nothing can have been acked."""
    of_format(store, number)
    before = [info.key for info in store.list("")]
    assert main([*command, "--lake", store.location.url]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"is of format {number}" in line
    assert fix in line
    assert [info.key for info in store.list("")] == before


@pytest.mark.parametrize("number", [1, 3])
def test_nothing_is_journaled_in_another_format(store, number):
    """Also where nobody has looked at the start: the segment is not put, so its deliveries are not acked."""
    of_format(store, number)
    with pytest.raises(LakeError, match=f"format {number}"):
        lakes.journal(store, lakes.sms(1))
    assert not list(store.list("journal/"))


def test_of_two_formats_at_once_the_first_counts(store):
    """Another program may have begun the lake since it was seen to be new."""
    original = store.create
    calls = []

    def create(key, data):
        calls.append(key)
        if len(calls) == 1:
            original(key, b'{"format": 3}')
        return original(key, data)

    store.create = create
    with pytest.raises(LakeError, match="format 3"):
        lake_format.ensure(store)


def test_a_lake_that_was_begun_meanwhile_is_not_taken_for_an_older_one(store):
    """A reader that came before the object and lists after the first epoch looks again."""
    original = store.read
    reads = []

    def read(key):
        reads.append(key)
        if len(reads) == 1:
            try:
                return original(key)
            finally:
                lakes.journal(store, lakes.sms(1))
                store.create("epochs/0000000001/sealed.json", b"{}")
        return original(key)

    store.read = read
    lake_format.check(store)
    assert reads[0] == reads[-1] == "lake.json"


def test_a_new_lake_may_say_nothing(store):
    """An empty one can be looked at and begun; so can one in which another version has only journaled."""
    open_to_read(store.location)
    open_to_write(store.location)
    assert not list(store.list(""))
    lakes.journal(store, lakes.sms(1))
    store.delete(["lake.json"])
    lakes.publish(store)
    assert bytes(store.read("lake.json"))


def test_what_says_no_format_is_named(store):
    """A damaged object is no reason to guess."""
    store.create("lake.json", b"{}")
    with pytest.raises(LakeError, match="restore it"):
        open_to_read(store.location)
