"""A server of one Parquet object that is replaced after its first k reads, and readers that scan it from there."""

import contextlib
import functools
import http.client
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import duckdb
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from obstore.fsspec import FsspecStore
from pyarrow import fs
from wgtwo_pipeline.lake.s3 import S3LakeStore
from wgtwo_pipeline.lake.store import LakeLocation

BUCKET, NAME = "a-lake", "x.parquet"
ACCESS, SECRET = "testaccess", "testsecretkey"


def by_duckdb(endpoint, columns):
    """Over a file system that pins nothing, as those that people use."""
    return _duckdb(_others(endpoint), columns)


def by_duckdb_over_ours(endpoint, columns):
    return _duckdb(_ours(endpoint).filesystem(), columns)


def by_our_file(endpoint, columns):
    with _ours(endpoint).open(NAME) as file:
        return pq.ParquetFile(file).read(columns=columns)


def by_pyarrow(endpoint, columns, pre_buffer=True):
    files = fs.S3FileSystem(
        endpoint_override=endpoint, region="us-east-1", access_key=ACCESS, secret_key=SECRET
    )
    return pq.read_table(
        f"{BUCKET}/p/{NAME}", filesystem=files, columns=columns, pre_buffer=pre_buffer, partitioning=None
    )


def by_pyarrow_chunk_by_chunk(endpoint, columns):
    return by_pyarrow(endpoint, columns, pre_buffer=False)


def by_polars(endpoint, columns):
    options = {
        "endpoint_url": endpoint,
        "aws_access_key_id": ACCESS,
        "aws_secret_access_key": SECRET,
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    frame = polars.scan_parquet(f"s3://{BUCKET}/p/{NAME}", storage_options=options).select(columns).collect()
    return frame.to_arrow()


PLAIN = [by_duckdb, by_pyarrow, by_pyarrow_chunk_by_chunk, by_polars]
OURS = [by_duckdb_over_ours, by_our_file]


def rows(number):
    """Of a table like ours: a time, numbers, texts that recur and texts that don't."""
    draw = random.Random(number)
    return pa.table(
        {
            "timestamp": pa.array(
                [1_764_000_000_000_000 + 1000 * n for n in range(number)], pa.timestamp("us", "UTC")
            ),
            "sequence": range(number),
            "kind": [draw.choice(["MO", "MT", None]) for _ in range(number)],
            "owner_phone_number": [f"+4790{draw.randrange(50):06d}" for _ in range(number)],
            "duration": [draw.randrange(100) for _ in range(number)],
            "id": [f"{draw.getrandbits(128):032x}" for _ in range(number)],
        }
    )


def blanked(table, names=("kind", "owner_phone_number")):
    """As `--everywhere` leaves other people's events: as many rows, some values null."""
    draw = random.Random(1)
    mask = pa.array([draw.random() < 0.3 for _ in range(len(table))], pa.bool_())
    for name in names:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pc.if_else(mask, pa.scalar(None, pa.string()), table[name]))
    return table


ERASURES = {
    "the first": lambda table: table.slice(1),
    "the last": lambda table: table.slice(0, len(table) - 1),
    "some": lambda table: table.filter(pa.array([n % 7 != 3 for n in range(len(table))])),
    "all": lambda table: table.slice(0, 0),
    "blanked": blanked,
}


def outcomes(server, reader, columns, old, new, before, after):
    """What becomes of a scan for every number of reads before the replacement: old, new, error or WRONG."""
    expected = {"old": before.select(columns).to_pylist(), "new": after.select(columns).to_pylist()}
    found = []
    while True:
        server.serve(bytes(old), bytes(new), reads=len(found))
        try:
            got = reader(server.endpoint, columns).to_pylist()
            found.append(next((name for name, rows in expected.items() if rows == got), "WRONG"))
        except (Exception, polars.exceptions.PanicException):
            found.append("error")
        if not server.replaced:
            return found


class Scripted:
    """The scripted S3 server, with the object in it."""

    def __init__(self, server):
        self._server, self.endpoint, self._key = server, server.endpoint, f"p/{NAME}"

    def serve(self, old, new, reads):
        self.replaced = False
        left = [reads]

        def before(method, key):
            if method == "GET" and key == self._key:
                if not left[0]:
                    self._server.objects[key] = new
                    self.replaced = True
                left[0] -= 1

        self._server.before = lambda *_: None
        self._server.objects = {self._key: old}
        self._server.before = before


class Proxied:
    """A real S3 server behind a proxy that counts the reads, and replaces the object before it passes one on."""

    def __init__(self, gateway):
        self._client, self._upstream = gateway.client(), gateway.port
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Proxy,), {"proxied": self}))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def serve(self, old, new, reads):
        self._put(old)
        with self._lock:
            self.replaced, self._left, self._new = False, reads, new

    def passes(self, method, path):
        with self._lock:
            if method == "GET" and path.endswith(NAME):
                if self._left == 0:
                    self._put(self._new)
                    self.replaced = True
                self._left -= 1

    def _put(self, data):
        self._client.put_object(Bucket=BUCKET, Key=f"p/{NAME}", Body=data)

    def forward(self, method, path, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()


class _Proxy(BaseHTTPRequestHandler):
    proxied: Proxied
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def _handle(self):
        self.proxied.passes(self.command, self.path.partition("?")[0])
        status, headers, body = self.proxied.forward(self.command, self.path, dict(self.headers))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = _handle  # noqa: N815


@functools.cache
def _others(endpoint):
    return FsspecStore(
        "s3",
        endpoint=endpoint,
        region="us-east-1",
        access_key_id=ACCESS,
        secret_access_key=SECRET,
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
    )


def _duckdb(files, columns):
    with duckdb.connect() as connection:
        connection.register_filesystem(files)
        return connection.sql(
            f"SELECT {', '.join(columns)} FROM read_parquet('s3://{BUCKET}/p/{NAME}', hive_partitioning = false)"
        ).to_arrow_table()


@functools.cache
def _ours(endpoint):
    return S3LakeStore(LakeLocation(f"s3://{BUCKET}/p", endpoint))
