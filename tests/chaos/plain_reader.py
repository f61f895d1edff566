"""A reader as any tool would be: lists the tables, reads every Parquet file that it sees, and compares rows.

Knows nothing of epochs or manifests, and shares no code with the pipeline.
"""

import hashlib
import io
import random
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

Identity = tuple[str, int, int]
"""Table, sequence and timestamp in microseconds."""

POLL_SECONDS = 0.2
UNANSWERED = (BotoCoreError, ClientError, ResponseParserError)


class PlainReader:
    """Polls in a thread until it is closed. What it saw at one moment is there, unchanged, at every later one.

    `wrong` says what was not so. A poll that the server does not answer shows nothing.
    """

    def __init__(self, connect: Callable[[], Any], bucket: str, prefix: str) -> None:
        self._connect, self._bucket, self._folder = connect, bucket, f"{prefix}/tables/"
        self._files: dict[str, tuple[str, bytes]] = {}  # by key: the server's ETag, our own digest
        self._places: dict[Identity, str] = {}  # in which file an event is
        self._closing = threading.Event()
        self.polls = self.unanswered = 0
        self.wrong: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def files(self) -> int:
        return len(self._files)

    @property
    def events(self) -> int:
        return len(self._places)

    def close(self) -> None:
        """Ends the polling."""
        self._closing.set()
        self._thread.join()

    def finish(self) -> None:
        """Ends the polling with a last look, for which every file is read again; the server must answer."""
        self.close()
        client = self._connect()
        self._look(client)
        for key in self._files:
            self._read_again(client, key)

    def _run(self) -> None:
        client = self._connect()
        while not self._closing.wait(POLL_SECONDS):
            try:
                self._look(client)
                if self._files:
                    self._read_again(client, random.choice(list(self._files)))
                self.polls += 1
            except UNANSWERED:
                self.unanswered += 1
            except Exception as error:
                self.wrong.append(f"it could not go on: {error!r}")
                return

    def _look(self, client: Any) -> None:
        """Lists all there is, and reads what it had not seen."""
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._folder)
        listed = {found["Key"]: found["ETag"] for page in pages for found in page.get("Contents", [])}
        self.wrong += [f"{key} vanished" for key in self._files.keys() - listed.keys()]
        for key, etag in listed.items():
            if key not in self._files:
                data = self._get(client, key)
                self._note(key, data)
                self._files[key] = etag, hashlib.sha256(data).digest()
            elif self._files[key][0] != etag:
                self.wrong.append(f"{key} was replaced")

    def _note(self, key: str, data: bytes) -> None:
        rows = pq.ParquetFile(io.BytesIO(data)).read(columns=["sequence", "timestamp"])
        table = key.removeprefix(self._folder).partition("/")[0]
        times = rows["timestamp"].cast(pa.int64()).to_pylist()
        for sequence, time_us in zip(rows["sequence"].to_pylist(), times, strict=True):
            event = (table, sequence, time_us)
            if event in self._places:
                self.wrong.append(f"{event} is in {self._places[event]} and in {key}")
            self._places[event] = key

    def _read_again(self, client: Any, key: str) -> None:
        if hashlib.sha256(self._get(client, key)).digest() != self._files[key][1]:
            self.wrong.append(f"the content of {key} was changed")

    def _get(self, client: Any, key: str) -> bytes:
        data: bytes = client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return data
