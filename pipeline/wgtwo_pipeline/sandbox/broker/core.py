"""One sandbox's state and the parts that work on it: what every service is given."""

import asyncio
import secrets
from collections import Counter, deque
from dataclasses import replace
from typing import Any

from wgtwo.events.v1 import events_pb2 as v1

from wgtwo_pipeline.sandbox.broker.authorize import Authority
from wgtwo_pipeline.sandbox.broker.clock import Clock
from wgtwo_pipeline.sandbox.broker.engine import Engine
from wgtwo_pipeline.sandbox.events.draw import Draw
from wgtwo_pipeline.sandbox.events.event import Event
from wgtwo_pipeline.sandbox.events.kinds import KINDS, Api, kinds_named
from wgtwo_pipeline.sandbox.events.make import Made, makers
from wgtwo_pipeline.sandbox.faults.malform import malformed
from wgtwo_pipeline.sandbox.options import Faults, SandboxSettings

EMITTED_KEPT = 500_000
"""How many emitted events are remembered for those who check them, whatever the history."""


class Core:
    """Belongs to the event loop that serves it: only call it there."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.faults: Faults = settings.faults()
        self.rate = settings.rate
        self.clock = Clock(settings.clock_speed)
        self.instance = secrets.token_hex(4)  # so that another run's acks count for nothing here
        self.authority = Authority(
            settings.oauth_client,
            settings.oauth_address is not None,
            settings.token_lifetime_seconds,
            lambda: self.faults.token_validity_seconds,
        )
        self.engine = Engine(KINDS, _us(settings.history_seconds), self._position_us)
        self.emitted: deque[Event] = deque(maxlen=EMITTED_KEPT)
        self.counts: Counter[str] = Counter()
        self.stopping = asyncio.Event()
        self.cuts = 0  # how often all streams were cut: one that was opened before the last is over
        self._makers = makers(settings.seed, kinds_named(settings.types))
        self._made: dict[Api, int] = dict.fromkeys(self._makers, 0)
        self._draws: Counter[str] = Counter()

    def _position_us(self, channel: str) -> int:
        # v1 says both 1 h and 30 min of its positions: the shorter finds out who relies on the longer.
        return _us(self.settings.position_seconds) // (1 if KINDS[channel].api == "v0" else 2)

    @property
    def exhausted(self) -> bool:
        """Whether `count` events have been made for each API."""
        count = self.settings.count
        return count is not None and all(made >= count for made in self._made.values())

    def make_next(self) -> None:
        """Makes up and publishes the next event of each API that is not at its count."""
        for api, maker in self._makers.items():
            index = self._made[api]
            if self.settings.count is None or index < self.settings.count:
                self._made[api] += 1
                self.publish(maker.make(index), self._malformation(api, index))

    def _malformation(self, api: Api, index: int) -> str:
        if not self.faults.malform or not self.faults.malform_kinds:
            return ""
        draw = Draw(self.settings.seed, "malform", api, index)
        return draw.pick(self.faults.malform_kinds) if draw.chance(self.faults.malform) else ""

    def publish(self, made: Made, malformation: str = "") -> Event:
        """Gives an event its time and sends it on its way."""
        kind, message = made.kind, made.message
        timestamp_us = self.engine.timestamp_us(kind.name, self.clock.now_us())
        head = b""
        if kind.api == "v0":
            message.timestamp.FromMicroseconds(timestamp_us)
        else:
            metadata = v1.Metadata()
            metadata.timestamp.FromMicroseconds(timestamp_us)
            if made.identifier:
                metadata.identifier.subscription_identifier.wg2rn = made.identifier
            head = metadata.SerializeToString()
        body = malformed(kind, message, malformation) if malformation else None
        if body is None:
            malformation, body = "", message.SerializeToString()
        event = self.engine.publish(kind.name, timestamp_us, body, head, malformation)
        self.emitted.append(event)
        return event

    def happens(self, fault: str) -> bool:
        """Draws whether the fault of that name and probability strikes now; the n-th draw is the seed's n-th."""
        probability: float = getattr(self.faults, fault)
        if not probability:
            return False
        self._draws[fault] += 1
        struck = Draw(self.settings.seed, fault, self._draws[fault]).chance(probability)
        self.counts[fault] += struck
        return struck

    def cut_streams(self) -> int:
        """Ends every stream that is open now; returns how many."""
        self.cuts += 1
        members = [member for group in self.engine.groups.values() for member in group.members]
        for member in members:
            member.wake()
        return len(members)

    def change_faults(self, changes: dict[str, Any]) -> None:
        """Sets faults by the names of `Faults`' fields. Raises ConfigurationError or TypeError, changing nothing."""
        self.faults = replace(self.faults, **changes)


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)
