"""Callers to hold against each other: of all our clients, and grpcio's own as the reference for what gRPC means."""

import contextlib
import threading

import grpc
import pytest
from clients import CLIENTS, Caller
from patience import PATIENCE_SECONDS
from scripted_server import ScriptedServer
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import CallResult


class GrpcioCaller:
    """The same as `Caller`, as anybody would write it with grpcio."""

    def __init__(self, service: Service) -> None:
        if service.plaintext:
            self._channel = grpc.insecure_channel(service.target)
        else:
            with open(service.ca_file, "rb") as file:  # noqa: PTH123  # short
                credentials = grpc.ssl_channel_credentials(file.read())
            self._channel = grpc.secure_channel(service.target, credentials)

    def call_many(self, method, requests, timeout_seconds, token):
        call = self._channel.unary_unary(method, None, None)
        metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
        futures = [call.future(request, timeout=timeout_seconds, metadata=metadata) for request in requests]
        return [self._result(future) for future in futures]

    def close(self):
        self._channel.close()

    @staticmethod
    def _result(future):
        try:
            return CallResult("OK", "", future.result())
        except grpc.FutureCancelledError:
            return CallResult("CANCELLED", "", None)
        except grpc.RpcError as error:
            return CallResult(error.code().name, error.details(), None)


@pytest.fixture(params=CLIENTS)
def client(request):
    """By the name that `--transport` has for it."""
    return request.param


@pytest.fixture
def open_caller(client):
    """Opens a caller of the client that is tested, or of another class; closes it afterwards."""
    with contextlib.ExitStack() as stack:

        def open_caller(target, ca_file=None, kind=None):
            service = Service(target, plaintext=ca_file is None, ca_file=ca_file)
            caller = kind(service) if kind else Caller(client, service)
            stack.callback(caller.close)
            return caller

        yield open_caller


@pytest.fixture
def both(open_caller):
    """Calls by both; returns our results, which have to be grpcio's in code and response."""

    def both(target, method, requests, timeout_seconds=PATIENCE_SECONDS, token=None, ca_file=None):
        ours, theirs = (
            open_caller(target, ca_file, kind).call_many(method, requests, timeout_seconds, token)
            for kind in (None, GrpcioCaller)
        )
        assert [(each.code, each.response) for each in ours] == [
            (each.code, each.response) for each in theirs
        ], theirs
        return ours

    return both


@pytest.fixture
def serve():
    """Starts a scripted gRPC server with options of grpc-core (without `grpc.`)."""
    with contextlib.ExitStack() as stack:

        def serve(**options):
            server = ScriptedServer(**options)
            stack.callback(server.stop)
            return server

        yield serve


@pytest.fixture
def release():
    """What a scripted method may wait for, to go on until the test ends."""
    event = threading.Event()
    yield event
    event.set()
