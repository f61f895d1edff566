"""A reader as any tool would be: lists the tables, reads every Parquet file that it sees, and compares rows.

Knows nothing of epochs or manifests, and shares no code with the pipeline.
"""

import contextlib
import io
import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError

Identity = tuple[str, int, int]
"""Table, sequence and timestamp in microseconds."""


class PlainReader:
    """Polls in a thread until it is closed. What it saw at one moment is there at every later one."""

    def __init__(self, connect: Callable[[], Any], bucket: str, prefix: str) -> None:
        self._connect, self._bucket, self._prefix = connect, bucket, prefix
        self._etags: dict[str, str] = {}
        self._seen: dict[Identity, str] = {}
        self._closing = threading.Event()
        self.polls = self.unanswered = 0
        self.wrong: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def files(self) -> int:
        return len(self._etags)

    @property
    def events(self) -> int:
        return len(self._seen)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        client = self._connect()
        while not self._closing.is_set():
            try:
                self.poll(client)
                self.polls += 1
            except (BotoCoreError, ClientError):
                self.unanswered += 1
            except Exception as error:
                self.wrong.append(f"{error!r}")
                return
            self._closing.wait(0.1)

    def poll(self, client: Any) -> None:
        """One look at all there is."""
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._prefix}/tables/"
        )
        listed = {found["Key"]: found["ETag"] for page in pages for found in page.get("Contents", [])}
        self.wrong += [f"{key} vanished" for key in self._etags.keys() - listed.keys()]
        for key, etag in listed.items():
            if key not in self._etags:
                self._read(client, key)
                self._etags[key] = etag
            elif self._etags[key] != etag:
                self.wrong.append(f"{key} was changed")

    def _read(self, client: Any, key: str) -> None:
        data = client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        rows = pq.read_table(io.BytesIO(data), columns=["sequence", "timestamp"], partitioning=None)
        table = key.removeprefix(f"{self._prefix}/tables/").split("/")[0]
        times = rows["timestamp"].cast(pa.int64()).to_pylist()
        for sequence, time_us in zip(rows["sequence"].to_pylist(), times, strict=True):
            other = self._seen.setdefault((table, sequence, time_us), key)
            if other != key or (table, sequence, time_us) in self._in_this_file(key):
                self.wrong.append(f"{table} {sequence} is in {other} and in {key}")

    def _in_this_file(self, _key: str) -> set[Identity]:
        return set()


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Whether it came true in time; what fails while servers are down counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            if condition():
                return True
        time.sleep(0.05)
    return False
