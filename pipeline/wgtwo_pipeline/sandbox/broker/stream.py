"""Sends a member's deliveries on one server stream, and counts acks: what v0 and v1 have in common."""

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from wgtwo_pipeline.sandbox.broker.authorize import RefusedError
from wgtwo_pipeline.sandbox.broker.core import Core
from wgtwo_pipeline.sandbox.broker.group import Delivery
from wgtwo_pipeline.sandbox.broker.subscription import Start, Subscription
from wgtwo_pipeline.sandbox.events.draw import Draw
from wgtwo_pipeline.sandbox.events.kinds import KINDS

Context = Any  # grpc.aio.ServicerContext of raw bytes


def start_at(timestamp: Timestamp) -> Start:
    """The position that a request names by time. Raises RefusedError for what protobuf allows no timestamp to be."""
    try:
        return Start("timestamp", timestamp.ToMicroseconds())
    except ValueError:
        raise RefusedError(
            grpc.StatusCode.INVALID_ARGUMENT, "start_at_timestamp is outside the years 1 to 9999"
        ) from None


async def send_stream(
    core: Core, subscription: Subscription, encode: Callable[[Delivery], bytes], context: Context
) -> None:
    """Joins, sends until the stream's time is over, and leaves, however it ends.

    Ends with OK or UNAVAILABLE, as the contract has it.
    """
    loop = asyncio.get_running_loop()
    awake = asyncio.Event()
    member = core.engine.join(subscription, core.clock.now_us(), awake.set)
    core.counts["streams"] += 1
    draw = Draw(core.settings.seed, "stream", core.counts["streams"])
    lifetime = core.settings.stream_lifetime_seconds * (0.9 + 0.2 * draw.below(1000) / 1000)
    opened = last_sent = loop.time()
    cuts = core.cuts
    try:
        while True:
            now, faults = loop.time(), core.faults
            ends = [opened + lifetime, last_sent + core.settings.stream_idle_seconds]
            if faults.cut_streams_seconds:
                ends.append(opened + faults.cut_streams_seconds)
            if now >= min(ends) or core.cuts != cuts:
                break
            stalled = faults.stall_streams_seconds and now >= opened + faults.stall_streams_seconds
            if member.outbox and not stalled:
                if faults.latency_seconds:
                    await asyncio.sleep(faults.latency_seconds)
                await _send(core, member.outbox, encode, context, min(ends))
                last_sent = loop.time()
                continue
            awake.clear()
            # Faults can change meanwhile: look again at least twice a second.
            alarm = loop.call_at(min(*ends, now + 0.5), awake.set)
            await awake.wait()
            alarm.cancel()
    finally:
        core.engine.leave(member, core.clock.now_us())
    core.counts["streams_ended"] += 1
    cut = core.faults.cut_streams_seconds > 0 or core.cuts != cuts
    both = core.faults.cut_status == "both" or not cut
    ok = draw.chance(0.5) if both else core.faults.cut_status == "ok"
    if not ok:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the stream's time is over: reconnect")


async def _send(
    core: Core, outbox: Any, encode: Callable[[Delivery], bytes], context: Context, until: float
) -> None:
    loop = asyncio.get_running_loop()
    cuts = core.cuts
    while outbox and loop.time() < until and core.cuts == cuts:
        delivery = outbox.popleft()
        if delivery.member is None:  # acked or timed out before it was sent
            continue
        response = encode(delivery)
        await context.write(response)
        core.engine.sent(delivery, core.clock.now_us())
        if core.happens("duplicate_deliveries"):
            await context.write(response)


def inbox(core: Core, delivery: Delivery) -> str:
    """What an ack returns to name its group and channel; differs between a delivery and its redelivery."""
    member = delivery.member
    if member is None or member.subscription.ack_timeout_us is None:
        return ""
    event = delivery.event
    return f"_INBOX.{core.instance}.{member.group.number}.{event.channel}.{member.number}.{delivery.attempt}"


def ack_info(core: Core, delivery: Delivery) -> str:
    """v1's opaque counterpart, which names the sequence too."""
    address = inbox(core, delivery)
    if not address:
        return ""
    return base64.urlsafe_b64encode(f"{address}.{delivery.event.sequence}".encode()).decode()


def read_ack_info(value: str) -> tuple[str, int] | None:
    """The inbox and sequence of an `ack_info`; None where it is not one of a sandbox."""
    try:
        address, _, sequence = base64.urlsafe_b64decode(value).decode().rpartition(".")
        return address, int(sequence)
    except (binascii.Error, ValueError):
        return None


def channel_of(address: str) -> str | None:
    """The channel that an inbox names, if any."""
    parts = address.split(".")
    return parts[3] if len(parts) == 6 and parts[3] in KINDS else None


async def count_ack(core: Core, address: str, sequence: int) -> bool:
    """Counts an ack unless a fault wants otherwise; False where it is to be refused.

    An ack of what is unknown, long acked or of another run does nothing.
    """
    if core.faults.latency_seconds:
        await asyncio.sleep(core.faults.latency_seconds)
    core.counts["acks"] += 1
    if core.happens("refuse_acks"):
        return False
    if core.happens("drop_acks"):
        return True
    channel = channel_of(address)
    parts = address.split(".")
    if channel is not None and parts[1] == core.instance and parts[2].isdigit():
        counted = core.engine.ack(int(parts[2]), channel, sequence, core.clock.now_us())
        core.counts["acks_counted"] += counted
    if core.happens("lose_ack_replies"):
        await core.stopping.wait()  # or until the caller gives up
    return True
