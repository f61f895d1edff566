"""What this machine has to give: the container's memory, not the host's; a user's home; files that appear whole."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from wgtwo_pipeline.errors import ConfigurationError

_CGROUPS: Final = Path("/sys/fs/cgroup")


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


def memory_bytes(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """The memory that this process may use: the machine's, or less by a control group (v2 or v1), in bytes."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _limits(cgroups, own):
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit
            found.append(int(file.read_text()))
    return min(found)


def _limits(cgroups: Path, own: Path) -> Iterator[Path]:
    """The files with the limits of its group and of those above; within a container the root is the group's own."""
    lines = []
    with contextlib.suppress(OSError):
        lines = own.read_text().splitlines()
    for line in [*lines, "0::/", "0:memory:/"]:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        while True:
            yield group / name
            if group == root:
                break
            group = group.parent
