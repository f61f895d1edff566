"""A plain grpc client for the sandbox over loopback, and what tests do with its streams."""

import itertools

import grpc
import pytest
from patience import PATIENCE_SECONDS
from wgtwo.events.v0 import events_pb2 as v0


class Client:
    """Calls by method name and message, as any client of the contract would."""

    def __init__(self, address, token=None, credentials=None):
        self.channel = (
            grpc.insecure_channel(address)
            if credentials is None
            else grpc.secure_channel(address, credentials)
        )
        self.metadata = None if token is None else (("authorization", f"Bearer {token}"),)

    def stream(self, method, request, answer=v0.SubscribeEventsResponse, seconds=PATIENCE_SECONDS):
        opened = self.channel.unary_stream(
            method, type(request).SerializeToString, None if answer is None else answer.FromString
        )
        return opened(request, timeout=seconds, metadata=self.metadata)

    def call(self, method, request, answer, seconds=PATIENCE_SECONDS):
        opened = self.channel.unary_unary(method, type(request).SerializeToString, answer.FromString)
        return opened(request, timeout=seconds, metadata=self.metadata)

    def subscribe(self, *, manual_seconds=None, oldest=True, seconds=PATIENCE_SECONDS, answer=None, **fields):
        request = v0.SubscribeEventsRequest(**fields)
        if manual_seconds is not None:
            request.manual_ack.enable = True
            request.manual_ack.timeout.FromMilliseconds(int(manual_seconds * 1000))
        if oldest and request.WhichOneof("start_position") is None:
            request.start_at_oldest_possible.SetInParent()
        return self.stream(
            "/wgtwo.events.v0.EventsService/Subscribe",
            request,
            answer or v0.SubscribeEventsResponse,
            seconds,
        )

    def ack(self, event, seconds=PATIENCE_SECONDS):
        request = v0.AckRequest(inbox=event.metadata.ack_inbox, sequence=event.metadata.sequence)
        return self.call("/wgtwo.events.v0.EventsService/Ack", request, v0.AckResponse, seconds)

    def close(self):
        self.channel.close()


def take(stream, count):
    """The next so many events; fails the test where the stream ends before."""
    got = [response.event for response in itertools.islice(stream, count)]
    assert len(got) == count
    return got


def drain(stream):
    """Everything until the stream ends, and the status it ended with."""
    got = []
    try:
        for response in stream:
            got.append(response)  # noqa: PERF402 - what came before an error counts
    except grpc.RpcError as error:
        return got, error.code()
    return got, grpc.StatusCode.OK


def status_of(call):
    """The status that a call or a stream fails with."""
    try:
        result = call()
        if hasattr(result, "__next__"):
            next(result)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return pytest.fail("the call succeeded")


def key(event):
    """(type, sequence), as the sandbox's books have it."""
    return event.WhichOneof("event").removesuffix("_event"), event.metadata.sequence


def three_a_minute_apart(core):
    """Makes events that are 3, 2 and 1 minutes old by the sandbox's clock; returns its time."""
    for _ in range(3):
        core.make_next()
        core.clock.advance(60)
    return core.clock.now_us()
