"""What only a local lake can get wrong: temporary files, durability, disks that fill up or go away."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from patience import wait_until
from wgtwo_pipeline.errors import AlreadyExistsError, ConfigurationError, LakeError
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "lake"


@pytest.fixture
def lake(folder):
    store = open_store(LakeLocation(str(folder)))
    store.check()
    return store


def failing(monkeypatch, name, number):
    """Make one system call fail with an errno, as long as the returned list holds it."""
    real, faults = getattr(os, name), [number]

    def call(*arguments, **options):
        if faults:
            raise OSError(faults[0], os.strerror(faults[0]))
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, call)
    return faults


@pytest.mark.parametrize(
    ("call", "number", "fix"),
    [
        ("write", errno.ENOSPC, "free space"),
        ("write", errno.EDQUOT, "quota"),
        ("fsync", errno.EIO, "check the disk"),
        ("open", errno.EROFS, "read-only"),
        ("open", errno.EACCES, "access"),
        ("open", errno.EMFILE, "ulimit"),
        ("link", errno.ENOSPC, "free space"),
        ("mkdir", errno.ENOSPC, "free space"),
    ],
)
def test_fault_is_named_and_passes(lake, folder, monkeypatch, call, number, fix):
    """A failing disk is a LakeError with the fix, leaves nothing behind, and the same store works after it."""
    with monkeypatch.context() as patch:
        faults = failing(patch, call, number)
        with pytest.raises(LakeError, match=fix) as caught:
            lake.create("journal/a/b", b"data")
        assert str(folder) in str(caught.value)
        faults.clear()
        lake.create("journal/a/b", b"data")
    assert bytes(lake.read("journal/a/b")) == b"data"
    assert list((folder / ".tmp").iterdir()) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_system_without_hard_links_is_refused(folder, monkeypatch, number):
    """Without hard links creation would not be atomic: the check says so."""
    failing(monkeypatch, "link", number)
    with pytest.raises(LakeError, match="hard links"):
        open_store(LakeLocation(str(folder))).check()


def test_lake_that_goes_away(lake, folder):
    """A lake whose folder is gone, as an unmounted disk's, is not made again elsewhere; back, it works."""
    lake.create("journal/a", b"1")
    shutil.rmtree(folder)
    with pytest.raises(LakeError, match="does not exist"):
        lake.create("journal/b", b"2")
    assert not folder.exists()
    folder.mkdir()
    lake.create("journal/b", b"2")
    assert [info.key for info in lake.list("")] == ["journal/b"]


def test_folder_that_vanishes_is_made_again(lake, folder):
    """A folder removed under a working store, empty or not, does not stop it."""
    for number in range(3):
        lake.create(f"journal/x/{number}", b"1")
        shutil.rmtree(folder / "journal")
        shutil.rmtree(folder / ".tmp")
    lake.create("journal/x/9", b"1")
    assert [info.key for info in lake.list("")] == ["journal/x/9"]


def test_create_and_delete_race(lake):
    """Deleting the last object of a folder removes the folder; a create at that moment still succeeds."""
    stop = threading.Event()

    def delete():
        while not stop.is_set():
            lake.delete(["journal/x/y/1", "journal/x/y/2"])

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        for number in range(300):
            lake.create(f"journal/x/y/{number % 2 + 1}", b"x")
    finally:
        stop.set()
        thread.join()


def test_readers_never_see_temporary_files(lake, folder):
    """While objects are created, no listing and no look at the folder shows an unfinished file."""
    data = os.urandom(100_000)
    stop = threading.Event()
    seen = []

    def look():
        while not stop.is_set():
            for found in (folder / "tables").rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if found.is_file() and found.read_bytes() != data:
                        seen.append(found)
            seen.extend(info for info in lake.list("") if info.size != len(data) or info.key.startswith("."))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for number in range(100):
            lake.create(f"tables/sms/day=2026-11-23/{number}.parquet", data)
    finally:
        stop.set()
        thread.join()
    assert seen == []


def test_check_removes_old_leftovers_only(lake, folder):
    """A temporary file is removed a day after its creator died; a younger one may be in work."""
    old, young = folder / ".tmp" / "old", folder / ".tmp" / "young"
    (folder / ".tmp").mkdir(exist_ok=True)
    for path in (old, young):
        path.write_bytes(b"x")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    lake.check()
    assert not old.exists()
    assert young.exists()


def test_killed_creator_leaves_all_or_nothing(folder, lake):
    """Killed at any instant, a creator leaves whole objects under their keys and nothing else."""
    script = (
        "import sys\nfrom wgtwo_pipeline.lake.open import *\nstore = open_store(LakeLocation(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "for n in range(10**6): store.create(f'journal/{n:06d}', bytes([n % 256]) * 50_000)"
    )
    pauses = (0.02, 0.05, 0.1)
    for pause in pauses:
        process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(pause)
        if pause == pauses[-1]:
            wait_until(lambda: list(lake.list("journal/")))
        process.kill()
        process.wait()
        process.stdout.close()
    found = list(lake.list("journal/"))
    for info in found:
        assert bytes(lake.read(info.key)) == bytes([int(info.key[-6:]) % 256]) * 50_000
    assert found


def test_everything_is_synced_in_order(lake, folder, monkeypatch):
    """Content is durable before it has its key; then the folder and, when new, those above it up to the lake."""
    log = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(descriptor):
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        log.append("content" if ".tmp" in path else os.path.relpath(path, folder))
        real_fsync(descriptor)

    def link(source, target):
        real_link(source, target)
        log.append("link")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    lake.create("journal/sub/1", b"x")
    assert log == ["content", "link", "journal/sub", "journal", "."]
    log.clear()
    lake.create("journal/sub/2", b"x")
    assert log == ["content", "link", "journal/sub"]
    log.clear()
    lake.create("journal/sub/2", b"x")  # whoever was first may have died before its folder was synced
    assert log == ["content", "journal/sub"]
    (folder / "journal").rename(folder / "elsewhere")
    log.clear()
    lake.create("journal/sub/3", b"x")
    assert log == ["content", "link", "journal/sub", "journal", "."]


def test_check_finds_what_is_wrong(tmp_path):
    """A lake that cannot be one is refused with a sentence that names it."""
    file = tmp_path / "file"
    file.write_bytes(b"")
    for path in (file, file / "below"):
        with pytest.raises(LakeError, match=r"file.* folder.*--lake"):
            open_store(LakeLocation(str(path))).check()
    with pytest.raises(LakeError, match="/proc/lake"):
        open_store(LakeLocation("/proc/lake")).check()
    with pytest.raises(ConfigurationError, match="gs://"):
        open_store(LakeLocation("gs://bucket/x"))
    with pytest.raises(ConfigurationError, match="empty"):
        open_store(LakeLocation(""))


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere")
def test_unwritable_folder_is_found(tmp_path):
    """A folder this user may not write is found by the check."""
    lake = tmp_path / "lake"
    lake.mkdir(mode=0o555)
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(0o755)
    script = f"from wgtwo_pipeline.lake.open import *; open_store(LakeLocation({str(lake)!r})).check()"
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    result = subprocess.run(
        [*drop, sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "permission denied: give this user" in result.stderr


def test_second_create_that_overwrites_is_found(folder, monkeypatch):
    """A file system on which the second create succeeds is refused."""
    monkeypatch.setattr(os, "link", os.replace)
    with pytest.raises(LakeError, match="overwrite"):
        open_store(LakeLocation(str(folder))).check()


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../../b", ".."])
def test_keys_stay_in_the_lake(lake, key):
    """A key, which may come out of a manifest, never leads out of the lake."""
    for use in (lambda: lake.create(key, b""), lambda: lake.read(key), lambda: lake.delete([key])):
        with pytest.raises(ValueError, match="key"):
            use()


def test_file_url_and_relative_path(tmp_path, monkeypatch):
    """`file://` URLs and relative paths name folders; the place does not move with the working folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    relative = open_store(LakeLocation("lake"))
    relative.check()
    monkeypatch.chdir(tmp_path / "elsewhere")
    relative.create("a", b"x")
    url = open_store(LakeLocation(f"file://{tmp_path}/lake"))
    assert bytes(url.read("a")) == b"x"
    assert url.uri("a") == str(tmp_path / "lake" / "a")
    with pytest.raises(AlreadyExistsError):
        url.create("a", b"y")


def test_the_same_relative_path_elsewhere_is_another_lake(tmp_path, monkeypatch):
    """A relative path is one of the working folder at that moment, also within one process."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        store = open_store(LakeLocation("lake"))
        store.check()
        assert store.uri("a") == str(tmp_path / name / "lake" / "a")
