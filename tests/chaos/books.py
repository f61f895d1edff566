"""What the event service emitted in all its lives, and what a lake must hold of it.

The service keeps everything in memory. What it had not been acked when it was killed is lost by itself, unless it
was stored nevertheless; what it had been acked must be in the lake. No event may be there twice, none that was
never emitted.
"""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import requests
from expected import EPOCH, QUARANTINED, row, tables
from plain_reader import Identity
from processes import Emitted, Service

TYPES = "voice,voicemail,location_update,token_audit,sms,sms_delivery_report,consent_revoke,handset_update"
"""Those that only v0 has: no event is made that nobody subscribes to."""


class Life(Service):
    """The service from a start to its end, always at the same port. Its sequences begin at 1, its clock goes on."""

    def __init__(self, folder: Path, port: int, number: int, *options: object) -> None:
        super().__init__(
            folder, "--address", f"127.0.0.1:{port}", "--seed", number, "--types", TYPES, *options
        )

    def acked(self) -> set[tuple[str, int]]:
        """Type and sequence of what it has counted as acked so far."""
        group = self.group()
        if not group:
            return set()
        answer = requests.get(f"{self._admin}/acked", params={"group": group["number"]}, timeout=20)
        return {(name, sequence) for name, sequence in answer.json()}


class Books:
    """`emitted` by identity, and `acked`, those that must have been stored; of the lives that have been closed."""

    def __init__(self) -> None:
        self.emitted: dict[Identity, Emitted] = {}
        self.acked: set[Identity] = set()
        self.deliveries = 0

    def close(self, life: Service) -> None:
        """Takes down what `life` did; to be called just before it is killed, with deliveries under way.

        It makes no more events from here on, else some would be stored that are in no books.
        """
        events = life.emitted()
        life.set_rate(0)
        events += life.emitted(after=len(events))
        acked = life.acked()
        self.deliveries += life.group().get("delivered", 0)
        for event in events:
            identity = (event.type, event.sequence, event.timestamp_us)
            assert identity not in self.emitted, "two lives of the service have an event in common"
            self.emitted[identity] = event
            if (event.type, event.sequence) in acked:
                self.acked.add(identity)

    def check(self, lake: Path) -> int:
        """The lake holds all that was acked, each once, with every column right, or its bytes in quarantine.

        Returns how many events it holds.
        """
        found = tables(lake)
        quarantine = found.pop("quarantine", None)
        payloads = quarantine["payload"].to_pylist() if quarantine is not None else []
        held = self._rows(found) + self._quarantined(payloads)
        assert held.total() == sum(map(len, found.values())) + len(payloads), "a delivery of no event"
        assert max(held.values()) == 1, f"published twice: {held.most_common(5)}"
        assert not self.acked - held.keys(), f"acked and lost: {sorted(self.acked - held.keys())[:20]}"
        return len(held)

    def _rows(self, found: dict) -> Counter[Identity]:
        held: Counter[Identity] = Counter()
        for name, table in found.items():
            for got in table.to_pylist():
                del got["received_at"]
                identity = (name, got["sequence"], microseconds(got["timestamp"]))
                assert identity in self.emitted, f"never emitted: {identity}"
                assert got == row(self.emitted[identity])
                held[identity] += 1
        return held

    def _quarantined(self, payloads: list[bytes]) -> Counter[Identity]:
        held: Counter[Identity] = Counter()
        for identity, event in self.emitted.items():
            if event.malformed in QUARANTINED:
                # The delivery is the event's bytes behind an envelope of the server's.
                times = sum(payload.endswith(event.body) for payload in payloads)
                if times:
                    held[identity] = times
        return held


def microseconds(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)
