"""Where rows wait between decoding and deduplicating, if both happen in this process: only a ticket is shuffled.

Beam's in-process runner copies, encodes and decodes what it groups several times over, though it never leaves the
process. This is global state because rooms are pickled on their way into a runner, also into this one: they cannot
share an object. Nothing of it has to last: whoever publishes the epoch again decodes it again.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.publish.helper import Helper

_numbers = itertools.count(1)
_shelves: dict[int, "_Shelf"] = {}


@dataclass(frozen=True)
class _Shelf:
    helper: Helper | None
    rows: dict[bytes, bytes] = field(default_factory=dict)


@contextmanager
def shelf(helper: Helper | None = None) -> Iterator[int]:
    """A shelf for one job, by its number; it and all that it holds are gone with the context. Not so the helper."""
    number = next(_numbers)
    _shelves[number] = _Shelf(helper)
    try:
        yield number
    finally:
        del _shelves[number]


def put(number: int, rows: bytes) -> bytes:
    """Keeps rows and returns a ticket for them. PipelineError where the shelf is another process's."""
    ticket = b"%d" % next(_numbers)
    _of(number).rows[ticket] = rows
    return ticket


def get(number: int, ticket: bytes) -> bytes:
    """The rows for a ticket, each time that it is shown. PipelineError where the shelf is another process's."""
    return _of(number).rows[ticket]


def helper(number: int) -> Helper | None:
    """Who helps this job. PipelineError where the shelf is another process's."""
    return _of(number).helper


def _of(number: int) -> _Shelf:
    if number not in _shelves:
        raise PipelineError(
            "the runner publishes in several processes and did not say so: add --direct_running_mode=multi_processing"
        )
    return _shelves[number]
