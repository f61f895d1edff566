"""How erasures are done, and what is erased by hand."""

from dataclasses import dataclass
from datetime import datetime

EVERY_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Erasing:
    """How revocations are obeyed, and for how long what they erased is suppressed when it comes again.

    `every_seconds` is how often `run` looks for them; None: never. `country` is the code that national numbers lack.
    """

    every_seconds: float | None = EVERY_SECONDS
    grace_seconds: float = 300.0
    suppress_seconds: float = 30 * 24 * 3600.0
    country: str | None = None


@dataclass(frozen=True)
class ByHand:
    """What somebody asks for besides: the numbers in a file (`-` is standard input), never the numbers themselves.

    `tenant` says that it answers this tenant's revocation, with `everyone` for all its subscribers.
    """

    numbers_file: str | None = None
    before: datetime | None = None
    everywhere: bool = False
    tenant: str | None = None
    everyone: bool = False
