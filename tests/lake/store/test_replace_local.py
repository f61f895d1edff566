"""What only a local lake can get wrong when it replaces: tags that recur, locks, the order of effects."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake import locks
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def lake(folder):
    store = open_store(LakeLocation(str(folder)))
    store.check()
    return store


def test_tags_never_recur(lake, folder, monkeypatch):
    """A file after next never has the tag of the first, although inode numbers are used again at once, the kernel's
    clock may tick slowly or stand still, and the size is the same.
    """
    monkeypatch.setattr(locks.time, "time_ns", lambda: 1)
    lake.create("a/b", b"0000")
    tags = [lake.read_tagged("a/b")[1]]
    for number in range(1, 300):
        tags.append(lake.replace("a/b", b"%04d" % number, tags[-1]))
    assert len(set(tags)) == len(tags)
    inodes = {tag.split("-")[0] for tag in tags}
    assert len(inodes) < len(tags)  # else this shows nothing here


def test_effects_are_in_order(lake, folder, monkeypatch):
    """Content is durable before it has the key, all under the lock; then the folder is."""
    lake.create("tables/sms/1", b"old")
    _, tag = lake.read_tagged("tables/sms/1")
    log = []
    real_fsync, real_rename = os.fsync, os.rename

    def held():
        return "" if locks_free(folder) else " locked"

    def fsync(descriptor):
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        log.append("content" if ".tmp" in path else f"{os.path.relpath(path, folder)}{held()}")
        real_fsync(descriptor)

    def rename(source, target):
        log.append(f"rename{held()}")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    lake.replace("tables/sms/1", b"new", tag)
    assert log == ["content", "rename locked", "tables/sms locked"]
    log.clear()
    lake.replace("tables/sms/1", b"new", tag)  # whoever was first may have died before its folder was synced
    assert log == ["content", "tables/sms locked"]
    assert locks_free(folder)
    assert [path.name for path in (folder / ".tmp").iterdir()] == ["replace.lock"]


def locks_free(folder):
    """Whether somebody else could take the lock now."""
    import fcntl

    with (folder / ".tmp/replace.lock").open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_lock_file_that_vanishes_holds_all_the_same(lake, folder, monkeypatch):
    """Who waits for a lock whose file is removed meanwhile takes that of the new file, and is alone with it."""
    lake.create("a", b"0")
    path = str(folder / ".tmp/replace.lock")
    done, has_the_old_file, flock = [], threading.Event(), locks.fcntl.flock

    def replace():
        lake.replace("a", b"1", lake.read_tagged("a")[1])
        done.append("replaced")

    def told(*arguments):
        if threading.current_thread() is waiting:
            has_the_old_file.set()
        flock(*arguments)

    monkeypatch.setattr(locks.fcntl, "flock", told)
    waiting = threading.Thread(target=replace)
    with locks.locked(path):
        waiting.start()
        assert has_the_old_file.wait(PATIENCE_SECONDS)
        (folder / ".tmp/replace.lock").unlink()
        with locks.locked(path):  # a third one, on a new file: as long as it holds, the second must wait
            done.append("held")
    waiting.join()
    assert done == ["held", "replaced"]
    shutil.rmtree(folder / ".tmp")
    lake.replace("a", b"2", lake.read_tagged("a")[1])
    assert bytes(lake.read("a")) == b"2"


def test_the_lock_is_no_leftover(lake, folder):
    """The start check removes what killed processes left, never the lock that others may hold."""
    assert lake.check_replace() is None
    lock = folder / ".tmp/replace.lock"
    before = lock.stat().st_ino
    yesterday = time.time() - 25 * 3600
    os.utime(lock, (yesterday, yesterday))
    lake.check()
    assert lock.stat().st_ino == before


def test_what_a_killed_creator_left_does_not_keep_the_old_bytes(lake, folder):
    """A creator killed right after its link leaves a second name of the file; it goes with the replacement."""
    lake.create("tables/sms/1", b"+4790000001")
    os.link(folder / "tables/sms/1", folder / ".tmp/left")
    lake.replace("tables/sms/1", b"nothing", lake.read_tagged("tables/sms/1")[1])
    assert not (folder / ".tmp/left").exists()
    assert bytes(lake.read("tables/sms/1")) == b"nothing"


def test_a_file_system_whose_locks_hold_nobody_off_is_refused(lake, monkeypatch):
    """Where two can hold one lock a replacement could be lost: the check for it says so; the others' does not."""
    monkeypatch.setattr(locks.fcntl, "flock", lambda *_: None)
    lake.check()
    with pytest.raises(LakeError, match=r"two hold one lock.*another file system"):
        lake.check_replace()


def test_a_full_disk_changes_nothing(lake, folder, monkeypatch):
    """A replacement that cannot be written leaves the old file, and nothing else; then it works."""
    lake.create("a", b"old")
    _, tag = lake.read_tagged("a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(LakeError, match="free space"):
            lake.replace("a", b"new", tag)
    assert bytes(lake.read("a")) == b"old"
    lake.replace("a", b"new", tag)
    assert bytes(lake.read("a")) == b"new"
