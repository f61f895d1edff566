"""Tells what a sandbox has done and holds, in terms that prove delivery: read-only views of its core."""

import base64
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain, islice
from typing import Any

from wgtwo_pipeline.sandbox.broker.core import Core
from wgtwo_pipeline.sandbox.broker.group import Group
from wgtwo_pipeline.sandbox.events.event import Event
from wgtwo_pipeline.sandbox.events.kinds import KINDS


def state(core: Core) -> dict[str, Any]:
    """Counts, channels, groups with their members, faults: plain JSON values.

    `emitted` counts by API, made-up and other events; `exhausted` says that `--count` has been made up.
    """
    engine = core.engine
    return {
        "now_us": core.clock.now_us(),
        "rate": core.rate,
        "emitted": {
            api: sum(channel.last for name, channel in engine.channels.items() if KINDS[name].api == api)
            for api in ("v0", "v1")
        },
        "exhausted": core.exhausted,
        "counts": dict(core.counts),
        "faults": asdict(core.faults),
        "channels": {
            channel.name: {"first": channel.first, "last": channel.last}
            for channel in engine.channels.values()
            if channel.last
        },
        "groups": [_group(core, group) for group in engine.groups.values()],
    }


def _group(core: Core, group: Group) -> dict[str, Any]:
    channels = core.engine.channels
    backlog = {name: channels[name].last + 1 - position for name, position in group.positions.items()}
    return {
        "number": group.number,
        "name": group.name,
        "durable": group.durable,
        "acked": group.acked,
        "delivered": group.delivered,
        "redelivered": group.redelivered,
        "unacked": len(group.unacked),
        "waiting": len(group.due) + len(group.orphans),
        "backlog": sum(backlog.values()),
        "lost": sum(map(len, chain.from_iterable(group.lost.values()))),
        "most_in_flight": group.most_in_flight,
        "positions": dict(group.positions),
        "starts": dict(group.starts),
        "members": [
            {
                "number": member.number,
                "channels": list(member.subscription.channels),
                "in_flight": len(member.in_flight),
                "max_in_flight": member.subscription.max_in_flight,
                "most_in_flight": member.most_in_flight,
                "delivered": member.delivered,
                "redelivered": member.redelivered,
            }
            for member in group.members
        ],
    }


def unacked(core: Core, group_number: int) -> list[tuple[str, int]]:
    """(type, sequence) of all that the group was handed and has not acked, sorted."""
    return sorted(core.engine.groups[group_number].unacked)


def acked(core: Core, group_number: int) -> Iterator[tuple[str, int]]:
    """(type, sequence) of all that the group has acked: handed out, not unacked and not lost."""
    group = core.engine.groups[group_number]
    for name, start in group.starts.items():
        lost = set(chain.from_iterable(group.lost.get(name, ())))
        for sequence in range(start, group.positions[name]):
            if (name, sequence) not in group.unacked and sequence not in lost:
                yield name, sequence


def emitted(core: Core, after: int = 0, limit: int | None = None) -> list[Event]:
    """The events emitted since number `after`, in order, at most `limit`; of the last 500,000."""
    if not core.emitted:
        return []
    skip = max(0, after + 1 - core.emitted[0].number)
    return list(islice(core.emitted, skip, None if limit is None else skip + limit))


def described(event: Event) -> dict[str, Any]:
    """An emitted event as plain JSON: identity, and content as base64.

    v0: the Event message without its metadata; v1: `head` the metadata without what is a delivery's own, `body` the
    response without metadata.
    """
    return {
        "number": event.number,
        "api": KINDS[event.channel].api,
        "type": event.channel,
        "sequence": event.sequence,
        "timestamp_us": event.timestamp_us,
        "malformed": event.malformed,
        "head": base64.b64encode(event.head).decode(),
        "body": base64.b64encode(event.body).decode(),
    }
