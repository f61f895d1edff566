"""File systems that cannot do what durability and atomic creation need: said at the start check."""

import errno
import os

import pytest
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake import folders, local
from wgtwo_pipeline.lake.local import LocalLakeStore
from wgtwo_pipeline.lake.store import LakeLocation


def failing(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK]
)
def test_no_hard_links(monkeypatch, tmp_path, showed, number):
    """Whatever a file system says that makes no hard links, the sentence is that it makes none."""
    monkeypatch.setattr(local.os, "link", failing(number))
    with pytest.raises(LakeError, match="cannot make hard links") as error:
        LocalLakeStore(LakeLocation(str(tmp_path / "lake"))).check()
    assert "put the lake on ext4" in str(error.value)
    showed(str(error.value).replace(str(tmp_path), "…"))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_made_durable(monkeypatch, tmp_path, showed, number):
    """A folder whose fsync is refused is no place for a lake, and the start check says so."""
    real = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            failing(number)()
        real(descriptor)

    monkeypatch.setattr(folders.os, "fsync", fsync)
    with pytest.raises(LakeError, match="refuses what durability needs") as error:
        LocalLakeStore(LakeLocation(str(tmp_path / "lake"))).check()
    showed(str(error.value).replace(str(tmp_path), "…"))
