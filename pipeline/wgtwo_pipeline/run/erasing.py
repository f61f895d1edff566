"""Obeys revocations, and requests by hand: one erasure after the other, each from its request to its receipt."""

import logging
import secrets
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from wgtwo_pipeline.erase import requests
from wgtwo_pipeline.erase.preview import Preview, preview
from wgtwo_pipeline.erase.report import show
from wgtwo_pipeline.erase.requests import Next
from wgtwo_pipeline.erase.rooms import EraseSettings
from wgtwo_pipeline.erase.settings import ByHand
from wgtwo_pipeline.errors import ConfigurationError, LakeError, NotFoundError, PipelineError
from wgtwo_pipeline.events.numbers import KEY_BYTES
from wgtwo_pipeline.lake import epochs, erasures, history, iceberg, lake_format, receipts
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.open import open_store, open_to_read
from wgtwo_pipeline.lake.receipts import Receipt
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.machine import at_home
from wgtwo_pipeline.metrics.outcomes import Outcomes, left_in
from wgtwo_pipeline.register.settings import LAKE
from wgtwo_pipeline.run import jobs
from wgtwo_pipeline.run.config import Asked, Config

_LOG = logging.getLogger(__name__)

_MOST_EPOCHS = 1_000


def erase(asked: Asked) -> int:
    """Erases what there is to erase, and prints a receipt for each erasure. Blocks. Raises LakeError.

    With `receipts` it shows those that there are, with `dry_run` what would be erased, and changes nothing.
    """
    if asked.receipts:
        show(receipts.read_all(open_to_read(asked.lake)), as_json=asked.json)
        return 0
    jobs.options(asked.config, streaming=False)  # refuses a runner that cannot do it
    lines = _lines(asked.by_hand) if asked.by_hand else ()
    if asked.dry_run:
        open_to_read(asked.lake)
        show(Eraser(asked.config).preview(asked.by_hand, lines), as_json=asked.json)
        return 0
    store = open_store(asked.lake)
    store.check()
    with left_in(asked.config.metrics_file, "erase") as outcomes:
        show(_counted(Eraser(asked.config).erase(asked.by_hand, lines), outcomes), as_json=asked.json)
    follow(store)
    return 0


def _counted(found: Iterator[Receipt], outcomes: Outcomes) -> Iterator[Receipt]:
    for receipt in found:
        outcomes.did()
        yield receipt


def follow(store: Store) -> None:
    """Where the lake is its own Iceberg catalog, its tables show at once what is left."""
    if next(iter(store.list(iceberg.ROOT)), None) is None:
        return
    try:
        from wgtwo_pipeline.register.register import Registrar  # brings pyiceberg, an extra

        Registrar(store, LAKE).bring_up()
    except (ModuleNotFoundError, PipelineError) as error:
        _LOG.error("the Iceberg tables show what was erased until `register` is run: %s", error)


def _lines(asked: ByHand) -> Sequence[str]:
    """The lines of the file with the numbers, read once. Raises ConfigurationError."""
    if asked.numbers_file is None:
        return ()
    if asked.numbers_file == "-":
        return sys.stdin.read().splitlines()
    try:
        return at_home(asked.numbers_file).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            "the file of --numbers cannot be read as text: is it there, and UTF-8?"
        ) from None


class Eraser:
    """Erases what there is to erase now. Any other eraser may do the same, and be killed at any point."""

    def __init__(self, config: Config) -> None:
        self._config, self._store = config, open_store(config.lake)
        self._publisher = jobs.Publisher(config)
        self._grace = timedelta(seconds=config.erasing.grace_seconds)
        self._past: History | None = None

    def erase(self, by_hand: ByHand | None = None, lines: Sequence[str] = ()) -> Iterator[Receipt]:
        """Finishes what was begun, obeys the revocations that were published, then erases what is asked for by hand.

        `lines` are those of the file with the numbers. Yields each receipt once it is durable. Blocks. Raises
        LakeError, after which the next call goes on.
        """
        lake_format.ensure(self._store)
        self._store.check_replace()
        yield from self._finish_open()
        asked = self._of_revocations()
        if asked and requests.keep(self._store, asked):
            yield from self._finish_open()
        if by_hand:
            while not requests.keep(self._store, self._of_hand(by_hand, lines)):
                yield from self._finish_open()  # somebody else's came first
            yield from self._finish_open()
        self._let_go()

    def _finish_open(self) -> Iterator[Receipt]:
        while (erasure := erasures.listing(self._store).open) is not None:
            yield self._finish(erasure)

    def _finish(self, erasure: int) -> Receipt:
        settings = EraseSettings(self._config.lake, erasure, self._first_clean_epoch(erasure))
        jobs.erase(self._config, settings)
        try:
            receipt = receipts.read(self._store, erasure)
        except NotFoundError:
            raise LakeError(
                f"erasure {erasure} has no receipt although its job ended; see the runner's log"
            ) from None
        _LOG.info(
            "erasure %d is finished: %d events erased, in %d files and %d retained copies",
            *(erasure, receipt.rows, receipt.files, receipt.copies),
        )
        for note in receipt.notes:
            _LOG.warning("erasure %d: %s", erasure, note)
        return receipt

    def _first_clean_epoch(self, erasure: int) -> int:
        """The first epoch whose seal lists the erasure, committed: what earlier ones published is final.

        Publishes what waits until there is one; on an idle lake, an epoch without segments.
        """
        asked = erasures.request(self._store, erasure)
        for _ in range(_MOST_EPOCHS):
            past = self._history()
            for epoch in range(asked.committed + 1, past.committed + 1):
                if erasure in epochs.sealed(self._store, epoch).parameters.erasures:
                    return epoch
            for _ in self._publisher.publish_all():
                pass
        raise LakeError(f"no seal lists erasure {erasure}; is another version of the pipeline publishing?")

    def preview(self, by_hand: ByHand | None, lines: Sequence[str]) -> Iterator[Preview]:
        """What `erase` would do now, without any change."""
        try:
            key = bytes(self._store.read(erasures.KEY))
        except NotFoundError:
            key = secrets.token_bytes(KEY_BYTES)  # nothing has been compared with another yet
        past, new = self._next(key)
        asked = [requests.of_revocations(self._store, past, new, self._grace)]
        if by_hand:
            asked.append(self._of_hand(by_hand, lines, new))
        for request in asked:
            if request:
                yield preview(self._store, past, request, key)

    def _of_revocations(self) -> erasures.Request | None:
        past, new = self._next(erasures.key(self._store))
        return requests.of_revocations(self._store, past, new, self._grace)

    def _of_hand(self, asked: ByHand, lines: Sequence[str], new: Next | None = None) -> erasures.Request:
        new = new or self._next(erasures.key(self._store))[1]
        waiting = receipts.unanswered(receipts.read_all(self._store)) if asked.tenant else ()
        return requests.of_hand(new, asked, lines, waiting, self._grace)

    def _next(self, key: bytes) -> tuple[History, Next]:
        past = self._history()
        country = self._config.erasing.country
        return past, requests.after(self._store, past, datetime.now(UTC), key, country)

    def _history(self) -> History:
        """What is committed by now; reads what has come since it was asked last."""
        self._past = history.load(self._store, self._past)
        return self._past

    def _let_go(self) -> None:
        """Deletes the requests that no seal lists any more, and what says whom they named; a seal drops those that
        are old enough."""
        suppress_for = timedelta(seconds=self._config.erasing.suppress_seconds)
        past = self._history()
        if not past.committed:
            return
        last = epochs.sealed(self._store, past.committed).parameters
        found = erasures.listing(self._store)
        if erasures.in_force(found, last, suppress_for, datetime.now(UTC)).erasures != last.erasures:
            for _ in self._publisher.publish_all():
                pass
            past = self._history()
            last = epochs.sealed(self._store, past.committed).parameters
        gone = [
            key
            for number in sorted(found.receipts)
            if number <= last.newest_erasure and number not in last.erasures
            for key, there in (
                (erasures.request_key(number), number in found.requests),
                (erasures.plan_key(number), number in found.plans),
            )
            if there
        ]
        self._store.delete(gone)
        # Of all that ever went: who was killed in between has left versions of what nobody lists any more.
        left = self._store.delete_versions([receipts.ROOT])
        if left:
            _LOG.warning("of requests that are no longer in force: %s", left)
