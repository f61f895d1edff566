"""Many files of a local lake are deleted fast, and as surely as one."""

import contextlib
import os
from pathlib import Path

import pytest
from wgtwo_pipeline.lake import unlink as room
from wgtwo_pipeline.lake.unlink import unlink


@pytest.fixture
def files(tmp_path):
    """More than go under one lock, in two folders."""
    paths = [tmp_path / "ab"[number % 2] / str(number) for number in range(2 * room._AT_ONCE + 1)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"content")
    return paths


def test_files_go_under_the_lock_and_are_freed_outside_of_it(files, monkeypatch):
    """Every name goes while the lock is held, a bounded number each time; nobody waits for a file that is freed."""
    held, log = [False], []
    real_unlink, real_close = os.unlink, os.close

    @contextlib.contextmanager
    def locked():
        held[0] = True
        log.append(0)
        yield
        held[0] = False

    def spy_unlink(path):
        assert held[0]
        log[-1] += 1
        real_unlink(path)

    def spy_close(descriptor):
        assert not held[0]
        real_close(descriptor)

    monkeypatch.setattr(os, "unlink", spy_unlink)
    monkeypatch.setattr(os, "close", spy_close)
    folders = unlink([*map(str, files), str(files[0])], locked)
    assert folders == {str(files[0].parent), str(files[1].parent)}
    assert not any(path.exists() for path in files)
    assert log == [room._AT_ONCE, room._AT_ONCE, 1]


def test_an_error_leaves_no_file_open(files, tmp_path):
    """What could not be deleted raises; the files before it are gone, and nothing keeps their space."""
    folder = tmp_path / "folder"
    folder.mkdir()
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="folder"):
        unlink([str(files[0]), str(folder), str(files[1])], contextlib.nullcontext)
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert [files[0].exists(), files[1].exists()] == [False, True]


def test_what_may_not_be_read_may_be_deleted(files):
    """As before: only the folder's permission counts."""
    Path(files[0]).chmod(0)
    unlink([str(files[0])], contextlib.nullcontext)
    assert not files[0].exists()
