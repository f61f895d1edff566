"""Peak memory of `ingest` as a process: bounded by what is in flight, whatever the backlog of the service."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from processes import SCRIPT
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.lake import journal
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

FLAT = 1.10
LARGE = 4 << 20
START_MICROSECONDS = 1_600_000_000_000_000

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]


class Flood:
    """Sends SMS as fast as `max_in_flight` allows, all with one text; knows what is acked."""

    def __init__(self, text_bytes: int) -> None:
        self.text = os.urandom(text_bytes // 2).hex()
        self.acked: set[int] = set()
        self.most_in_flight = 0
        self._sent = 0
        self._full = False
        self._changed = threading.Condition()

    def subscribe(self, request: v0.SubscribeEventsRequest, context: grpc.ServicerContext) -> Iterator:
        while context.is_active():
            with self._changed:
                if not self._changed.wait_for(lambda: self._in_flight < request.max_in_flight, 1):
                    continue
                self._sent += 1
                self.most_in_flight = max(self.most_in_flight, self._in_flight)
                self._full = self._full or self._in_flight == request.max_in_flight
                self._changed.notify_all()
            response = v0.SubscribeEventsResponse()
            response.event.metadata.sequence = self._sent
            response.event.metadata.ack_inbox = "inbox"
            response.event.timestamp.FromMicroseconds(START_MICROSECONDS + self._sent)
            response.event.sms_event.text = self.text
            yield response

    def ack(self, request: v0.AckRequest, context: grpc.ServicerContext) -> v0.AckResponse:
        with self._changed:
            # Only once all that may be in flight has been: where acks are quick, it might never come to that.
            self._changed.wait_for(lambda: self._full, 10)
            self.acked.add(request.sequence)
            self._changed.notify_all()
        return v0.AckResponse()

    @property
    def _in_flight(self) -> int:
        return self._sent - len(self.acked)


@contextmanager
def flood(text_bytes: int) -> Iterator[tuple[Flood, str]]:
    service = Flood(text_bytes)
    options = [("grpc.max_send_message_length", -1)]
    subscribe = grpc.unary_stream_rpc_method_handler(
        service.subscribe,
        v0.SubscribeEventsRequest.FromString,
        v0.SubscribeEventsResponse.SerializeToString,
    )
    ack = grpc.unary_unary_rpc_method_handler(
        service.ack, v0.AckRequest.FromString, v0.AckResponse.SerializeToString
    )
    handlers = {"Subscribe": subscribe, "Ack": ack}
    handler = grpc.method_handlers_generic_handler("wgtwo.events.v0.EventsService", handlers)
    server = grpc.server(futures.ThreadPoolExecutor(16), (handler,), options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield service, f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def ingested(folder: Path, count: int, text_bytes: int, in_flight: int) -> float:
    """Peak megabytes of the largest process of `ingest` that journals so many events."""
    lake = folder / "lake"
    with flood(text_bytes) as (service, address), (folder / "log").open("wb") as log:
        command = [SCRIPT, "ingest", "--endpoint", address, "--plaintext", "--lake", lake, "--types", "sms"]
        command += ["--max-events", str(count), "--max-in-flight", str(in_flight)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, process.returncode, usage = os.wait4(
            process.pid, 0
        )  # its children count as well: it waits for them
        assert process.returncode == 0, (folder / "log").read_text()
        segments = list(journal.segments(open_store(LakeLocation(str(lake)))))
        rows = sum(journal.SegmentName.parse(info.key).rows for info in segments)
        assert len(service.acked) >= count
        assert rows >= len(service.acked)
        assert service.most_in_flight == in_flight
    return usage.ru_maxrss / 1024


@pytest.mark.parametrize(
    ("counts", "text_bytes", "in_flight"),
    [((600, 6_000, 60_000), 60, 200), ((100, 200, 400), LARGE, 20)],
    ids=["small events", "events of 4 MiB"],
)
def test_a_longer_backlog_takes_no_more_memory(tmp_path, counts, text_bytes, in_flight):
    """Of small events and of 4 MiB each: the peak is that of the events in flight."""
    peaks = []
    for count in counts:
        (tmp_path / str(count)).mkdir()
        peaks.append(ingested(tmp_path / str(count), count, text_bytes, in_flight))
        sys.stdout.write(f"ingest of {count:,} events of {text_bytes:,} bytes: {peaks[-1]:,.0f} MB\n")
    assert max(peaks) <= FLAT * peaks[0], peaks
