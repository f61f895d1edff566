"""What this machine has: the container's memory and cores, not the host's; a user's home; files that appear whole."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from wgtwo_pipeline.errors import ConfigurationError

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")


def at_home(path: str | Path) -> Path:
    """A path that a user gave, with `~` and `~name` as their home folders; ConfigurationError where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        raise ConfigurationError(
            f"{path}: {user} has no home folder on this machine: write the path whole"
        ) from None


@contextlib.contextmanager
def whole_file(path: str, *, binary: bool = False) -> Iterator[IO[Any]]:
    """A file to write that is there only once it is whole, in place of an older one; text is UTF-8, lines as given.

    Raises OSError; where it cannot be written at all, before anything is done within.
    """
    target = at_home(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with part.open("wb") if binary else part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def memory_bytes(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> int:
    """The memory that this process may use: the machine's, or less by a control group (v2 or v1), in bytes."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _limits(cgroups, own, "memory", "memory.max", "memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit
            found.append(int(file.read_text()))
    return min(found)


def cores(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> float:
    """The cores that this process may use: those it is bound to, or less by a control group (v2 or v1)."""
    bound = getattr(os, "sched_getaffinity", None)  # Linux's
    found = [float(len(bound(0)) if bound else os.cpu_count() or 1)]
    for file in _limits(cgroups, own, "cpu", "cpu.max", "cpu.cfs_quota_us"):
        with contextlib.suppress(OSError, ValueError):  # "max", as -1, is no limit
            quota, *period = file.read_text().split()
            microseconds = int(period[0] if period else file.with_name("cpu.cfs_period_us").read_text())
            if int(quota) > 0:
                found.append(int(quota) / microseconds)
    return min(found)


def _limits(cgroups: Path, own: Path, controller: str, v2: str, v1: str) -> Iterator[Path]:
    """The files with the limits of its group and of those above; within a container the root is the group's own."""
    lines = []
    with contextlib.suppress(OSError):
        lines = own.read_text().splitlines()
    for line in [*lines, "0::/", f"0:{controller}:/"]:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = cgroups, v2
        elif controller in controllers.split(","):
            root, name = cgroups / controller, v1
        else:
            continue
        group = root / path.lstrip("/")
        while True:
            yield group / name
            if group == root:
                break
            group = group.parent
