"""Members that ingest, and a reader of their journal that goes on where it was."""

from lakes import SOURCE, at
from wgtwo_pipeline.lake.journal import SegmentWriter
from wgtwo_pipeline.source.tail import Position, Round


class Member:
    """One process that ingests; each call makes one segment and returns its payloads."""

    def __init__(self, store, name, source=SOURCE):
        self._writer, self._source, self._store = SegmentWriter(store, name), source, store
        self._sequence = 0

    def __call__(self, count=1):
        payloads = [f"{self._writer.writer}-{self._sequence + n}".encode() for n in range(count)]
        self._sequence += count
        self.key = self._writer.write(self._source, payloads, [1] * count, at(self._sequence))
        return payloads


class Reader:
    """Goes on where it was; `read` gives the payloads that one look finds."""

    def __init__(self, store, position=None):
        self.store, self.position, self.covered = store, position or Position(), {}

    def read(self, at_most=None):
        found = []
        look = Round(self.store, self.position)
        for number, step in enumerate(look.steps()):
            if number == at_most:
                return found
            self.position = step.position
            found += [payload for _, part in step.deliveries for payload in part["payload"].to_pylist()]
        self.covered = look.covered
        return found
