"""Standard error as a stream of JSON objects, whoever writes to it.

gRPC's core, an interpreter that ends in a traceback and the programs that libraries start know nothing of our
logging: they write to the file descriptor, and their children inherit it. A log collector that reads JSON gets JSON.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from wgtwo_pipeline import logs

_END_SECONDS = 2.0


@contextlib.contextmanager
def only_objects() -> Iterator[None]:
    """Until it ends, a line of this process's file descriptor 2 that is no JSON object is wrapped into one.

    Its level is `warning`, its logger `stderr`; tokens and secrets are removed from it. Lines keep their order. What
    children that outlive this write afterwards goes nowhere.
    """
    sys.stderr.flush()
    real = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    pump = threading.Thread(target=_pump, args=(reading, real), name="stderr", daemon=True)
    pump.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)  # the pipe's last writer, but for children
        pump.join(_END_SECONDS)


def _pump(reading: int, real: int) -> None:
    with open(reading, "rb") as lines, contextlib.suppress(OSError):  # nobody reads standard error any more
        for line in lines:
            _write(real, line if _is_object(line) else _wrapped(line))


def _is_object(line: bytes) -> bool:
    if not line.startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _wrapped(line: bytes) -> bytes:
    text = logs.redact(line.decode(errors="replace").rstrip())
    if not text:
        return b""
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    entry = {"time": now, "level": "warning", "logger": "stderr", "message": text}
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
