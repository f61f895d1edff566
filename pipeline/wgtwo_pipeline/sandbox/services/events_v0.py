"""wgtwo.events.v0.EventsService: Subscribe and Ack."""

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from wgtwo.events.v0 import events_pb2 as v0

from wgtwo_pipeline.sandbox.broker.authorize import RefusedError
from wgtwo_pipeline.sandbox.broker.core import Core
from wgtwo_pipeline.sandbox.broker.group import Delivery
from wgtwo_pipeline.sandbox.broker.stream import Context, channel_of, count_ack, inbox, send_stream, start_at
from wgtwo_pipeline.sandbox.broker.subscription import Start, Subscription
from wgtwo_pipeline.sandbox.events.encode import v0_response
from wgtwo_pipeline.sandbox.events.kinds import KINDS, V0_BY_NUMBER, Kind

# The contract names no defaults for v0: v1's, which are also what it recommends.
MAX_IN_FLIGHT = 50
ACK_TIMEOUT_US = 30_000_000


class EventsService:
    """Takes and gives raw bytes, so that malformed events can be sent."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def handler(self) -> Any:
        """The service for `Server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            "wgtwo.events.v0.EventsService",
            {
                "Subscribe": grpc.unary_stream_rpc_method_handler(self.subscribe),
                "Ack": grpc.unary_unary_rpc_method_handler(self.ack),
            },
        )

    async def subscribe(self, request: bytes, context: Context) -> None:
        """Sends events of the types asked for; of all types where none is named."""
        core = self._core
        try:
            asked = v0.SubscribeEventsRequest.FromString(request)
            kinds = _kinds(asked)
            client = core.authority.client_of(context.invocation_metadata(), (kind.scope for kind in kinds))
            wanted = _subscription(asked, kinds, client, core.clock.now_us())
        except DecodeError:
            await context.abort(grpc.StatusCode.INTERNAL, "the request is no SubscribeEventsRequest")
        except RefusedError as refused:
            await context.abort(refused.code, refused.detail)

        def encode(delivery: Delivery) -> bytes:
            return v0_response(delivery.event, inbox(core, delivery), delivery.attempt > 1)

        await send_stream(core, wanted, encode, context)

    async def ack(self, request: bytes, context: Context) -> bytes:
        """Counts the ack, on whatever connection it comes; one that matches nothing is harmless."""
        core = self._core
        try:
            ack = v0.AckRequest.FromString(request)
            channel = channel_of(ack.inbox)
            core.authority.client_of(
                context.invocation_metadata(), () if channel is None else (KINDS[channel].scope,)
            )
        except DecodeError:
            await context.abort(grpc.StatusCode.INTERNAL, "the request is no AckRequest")
        except RefusedError as refused:
            await context.abort(refused.code, refused.detail)
        if not await count_ack(core, ack.inbox, ack.sequence):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the ack was refused: try again")
        return b""


def _kinds(asked: v0.SubscribeEventsRequest) -> tuple[Kind, ...]:
    unknown = [number for number in asked.type if number not in V0_BY_NUMBER]
    if unknown:
        raise RefusedError(
            grpc.StatusCode.INVALID_ARGUMENT, f"type: there is no event type with the number {unknown[0]}"
        )
    numbers = dict.fromkeys(asked.type) or V0_BY_NUMBER
    return tuple(V0_BY_NUMBER[number] for number in numbers)


def _subscription(
    asked: v0.SubscribeEventsRequest, kinds: tuple[Kind, ...], client: str, now_us: int
) -> Subscription:
    timeout_us: int | None = None
    if asked.manual_ack.enable:
        timeout_us = asked.manual_ack.timeout.ToMicroseconds() or ACK_TIMEOUT_US
        if timeout_us < 0:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "manual_ack.timeout cannot be negative")
    return Subscription(
        channels=tuple(kind.name for kind in kinds),
        group=_group(asked, client),
        durable=bool(asked.durable_name),
        start=_start(asked, now_us),
        max_in_flight=asked.max_in_flight or MAX_IN_FLIGHT,
        ack_timeout_us=timeout_us,
    )


def _group(asked: v0.SubscribeEventsRequest, client: str) -> tuple[str, ...] | None:
    """What subscriptions share: a queue is known by its name whoever joins it, a durable by its client too."""
    if asked.queue_name:
        return ("v0", client, "queue", asked.queue_name, asked.durable_name)
    if asked.durable_name:
        return ("v0", client, "durable", asked.client_id, asked.durable_name)
    return None


def _start(asked: v0.SubscribeEventsRequest, now_us: int) -> Start:
    match asked.WhichOneof("start_position"):
        case "start_at_sequence":
            return Start("sequence", asked.start_at_sequence)
        case "start_at_timestamp":
            return start_at(asked.start_at_timestamp)
        case "start_at_time_delta":
            return Start("timestamp", now_us - asked.start_at_time_delta.ToMicroseconds())
        case "start_with_last_received":
            return Start("last")
        case "start_at_oldest_possible":
            return Start("oldest")
    return Start("new")
