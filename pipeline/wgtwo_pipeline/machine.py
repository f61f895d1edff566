"""What this machine has to give: the memory of the container, where there is one, not of the host; a user's home."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

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
