"""Several looks at a lake at once, for an audit: object stores take long to answer, and answer many together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise, takewhile
from typing import TypeVar

from wgtwo_pipeline.lake.store import ObjectInfo, Store

LISTED_TOGETHER = 10_000
"""Ten answers of S3: a month of one-minute epochs is hundreds, and each begins where the one before ended."""

T = TypeVar("T")
R = TypeVar("R")


def in_threads(function: Callable[[T], R], items: Iterable[T], at_once: int = 16) -> Iterator[R]:
    """Like `map`, a few at once; never more than a few ahead."""
    iterator = iter(items)
    with ThreadPoolExecutor(at_once) as threads:
        while chunk := list(islice(iterator, 4 * at_once)):
            yield from threads.map(function, chunk)


def listed(store: Store, prefix: str, expected: Sequence[str]) -> Iterator[ObjectInfo]:
    """The same as `store.list(prefix)`, several parts of it at once where many keys are `expected`.

    These are ascending; which of them there are, and what else there is, makes no difference.
    """
    ends = [*expected[LISTED_TOGETHER::LISTED_TOGETHER], "\x7f"]  # keys are of printable ASCII

    def part(bounds: tuple[str, str]) -> list[ObjectInfo]:
        after, last = bounds
        return list(takewhile(lambda info: info.key <= last, store.list(prefix, after)))

    for found in in_threads(part, pairwise(["", *ends]), at_once=4):
        yield from found
