"""Resets TCP connections of this process from outside their owner: grpc gives no way to.

On Linux, connecting a TCP socket to "no address" (AF_UNSPEC) aborts its connection with a RST and leaves the file
descriptor to whoever owns it; see connect(2).
"""

import contextlib
import ctypes
import os
import socket
import sys
from pathlib import Path


def reset_connections(port: int) -> int:
    """Resets every connection accepted on this local port; returns how many. Does nothing but on Linux."""
    if not sys.platform.startswith("linux"):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    no_address = ctypes.create_string_buffer(16)  # sockaddr with family 0, AF_UNSPEC
    count = 0
    for entry in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError, ValueError):
            number = int(entry.name)
            # A duplicate: asking must not close what another owns.
            with socket.socket(fileno=os.dup(number)) as connection:
                if connection.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                if connection.getsockname()[1] == port and connection.getpeername():
                    count += libc.connect(connection.fileno(), no_address, len(no_address)) == 0
    return count
