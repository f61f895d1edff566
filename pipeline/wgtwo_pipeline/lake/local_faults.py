"""What the operating system says of a local lake, as sentences that name the fix."""

import errno
import os

from wgtwo_pipeline.errors import LakeError

GOOD_PLACES = "put the lake on ext4, xfs, btrfs, apfs, NFS or S3"

_FIXES = {
    errno.ENOSPC: "its disk is full: free space",
    errno.EDQUOT: "its disk quota is used up: free space or raise the quota",
    errno.EROFS: "its file system is mounted read-only: remount it writable",
    errno.EACCES: "permission denied: give this user read and write access to it",
    errno.EPERM: "the operation is not permitted: give this user read and write access to it",
    errno.ENOTDIR: "a part of the path is not a folder: name another with --lake",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.EXDEV: "parts of it lie on different file systems: keep it on one",
    errno.ENOLCK: "its file system cannot lock files, which replacing them needs: start its lock service (NFS), or"
    " put the lake on another",
    errno.EIO: "its disk reports an error: check the disk",
    errno.EINVAL: f"its file system refuses what durability needs (fsync of a folder): {GOOD_PLACES}",
    errno.ENOTSUP: f"its file system refuses what durability needs (fsync of a folder): {GOOD_PLACES}",
}


def lake_error(root: str, error: OSError) -> LakeError:
    """What an error of the operating system means for the lake in the folder `root`."""
    if error.errno == errno.ENOENT and not os.path.isdir(root):  # noqa: PTH112 - Path.is_dir raises where it may not look
        fix = "the folder does not exist: mount its disk, or create it and start again"
    else:
        fix = _FIXES.get(error.errno or 0, f"{error.strerror or error}")
    return LakeError(f"lake {root}: {fix}")
