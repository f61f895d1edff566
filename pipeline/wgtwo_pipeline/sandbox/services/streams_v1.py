"""v1's services: one pair of methods, `Stream…Events` and `Ack…Event`, for each event kind.

All stream requests have one shape on the wire, and so have all ack requests and responses.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from wgtwo.events.v1 import events_pb2 as v1
from wgtwo.subscription.v1 import subscription_events_pb2 as subscription_v1

from wgtwo_pipeline.sandbox.broker.authorize import RefusedError
from wgtwo_pipeline.sandbox.broker.core import Core
from wgtwo_pipeline.sandbox.broker.group import Delivery
from wgtwo_pipeline.sandbox.broker.stream import (
    Context,
    ack_info,
    channel_of,
    count_ack,
    read_ack_info,
    send_stream,
    start_at,
)
from wgtwo_pipeline.sandbox.broker.subscription import Start, Subscription
from wgtwo_pipeline.sandbox.events.encode import v1_response
from wgtwo_pipeline.sandbox.events.kinds import KINDS, Kind

ACK_TIMEOUT_US = 30_000_000
ACK_TIMEOUT_RANGE_SECONDS = (10, 600)
MAX_IN_FLIGHT = 50
MAX_IN_FLIGHT_LIMIT = 200


def v1_handlers(core: Core) -> tuple[Any, ...]:
    """The services for `Server.add_generic_rpc_handlers`; raw bytes in and out."""
    methods: dict[str, dict[str, Any]] = defaultdict(dict)
    for kind in KINDS.values():
        if kind.api == "v1":
            own = methods[kind.service]
            own[f"Stream{kind.method}Events"] = grpc.unary_stream_rpc_method_handler(_stream(core, kind))
            own[f"Ack{kind.method}Event"] = grpc.unary_unary_rpc_method_handler(_ack(core, kind))
    return tuple(grpc.method_handlers_generic_handler(service, own) for service, own in methods.items())


def _stream(core: Core, kind: Kind) -> Callable[[bytes, Context], Awaitable[None]]:
    async def stream(request: bytes, context: Context) -> None:
        try:
            client = core.authority.client_of(context.invocation_metadata(), (kind.scope,))
            asked = subscription_v1.StreamHandsetChangeEventsRequest.FromString(request).stream_configuration
            wanted = _subscription(asked, kind, client)
        except DecodeError:
            await context.abort(
                grpc.StatusCode.INTERNAL, f"the request is no Stream{kind.method}EventsRequest"
            )
        except RefusedError as refused:
            await context.abort(refused.code, refused.detail)

        def encode(delivery: Delivery) -> bytes:
            return v1_response(delivery.event, ack_info(core, delivery), delivery.attempt > 1)

        await send_stream(core, wanted, encode, context)

    return stream


def _ack(core: Core, kind: Kind) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def ack(request: bytes, context: Context) -> bytes:
        try:
            core.authority.client_of(context.invocation_metadata(), (kind.scope,))
            value = v1.AckRequest.FromString(request).ack_info.value
        except DecodeError:
            await context.abort(grpc.StatusCode.INTERNAL, f"the request is no Ack{kind.method}EventRequest")
        except RefusedError as refused:
            await context.abort(refused.code, refused.detail)
        named = read_ack_info(value)
        # What was acked before, or has expired, is a success; what this method never gave out is none.
        done = named is not None and channel_of(named[0]) == kind.name and await count_ack(core, *named)
        response = v1.AckResponse()
        response.ack_status.status_code = (
            v1.AckStatus.STATUS_CODE_SUCCESS if done else v1.AckStatus.STATUS_CODE_FAILURE
        )
        return response.SerializeToString()

    return ack


def _subscription(asked: v1.StreamConfiguration, kind: Kind, client: str) -> Subscription:
    if asked.max_in_flight > MAX_IN_FLIGHT_LIMIT:
        raise RefusedError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"max_in_flight is 1 to {MAX_IN_FLIGHT_LIMIT}, not {asked.max_in_flight}",
        )
    timeout_us: int | None = ACK_TIMEOUT_US
    match asked.WhichOneof("acknowledge_option"):
        case "disable_explicit_ack":
            timeout_us = None
        case "custom_ack_timeout":
            seconds = asked.custom_ack_timeout.ToNanoseconds() / 1e9
            least, most = ACK_TIMEOUT_RANGE_SECONDS
            if not least <= seconds <= most:
                raise RefusedError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"custom_ack_timeout is 10 s to 10 min, not {seconds:.12g} s",
                )
            timeout_us = asked.custom_ack_timeout.ToMicroseconds()
    regular = asked.WhichOneof("stream_type") == "regular"
    return Subscription(
        channels=(kind.name,),
        group=None if regular else ("v1", client, kind.method, asked.durable_queue.custom_name),
        durable=not regular,
        start=_start(asked),
        max_in_flight=asked.max_in_flight or MAX_IN_FLIGHT,
        ack_timeout_us=timeout_us,
    )


def _start(asked: v1.StreamConfiguration) -> Start:
    match asked.WhichOneof("start_position"):
        case "start_at_id":
            return Start("sequence", asked.start_at_id)
        case "start_at_timestamp":
            return start_at(asked.start_at_timestamp)
        case "start_at_oldest_possible":
            return Start("oldest")
    return Start("new")
