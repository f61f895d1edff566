"""A tiny S3 in memory that fails as it is told: what real servers do too seldom to wait for.

`faults` is a list of answers to come, each used once, by the first request of its method:
  Fault("PUT", 503, "SlowDown")                 an error instead of the work
  Fault("PUT", 500, "InternalError", done=True) the work is done, the answer is an error all the same
  Fault("PUT", 0)  /  Fault("PUT", 0, done=True)    the connection is cut before / after the work
  Fault("GET", 200, "InternalError")            an answer of success that carries an error
Objects have ETags of their content; If-Match, If-None-Match and ranges are honoured. `before` is called with the
method and key of each request before it is worked on.
"""

import contextlib
import hashlib
import re
import ssl
import threading
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape


@dataclass
class Fault:
    method: str
    status: int
    code: str = ""
    done: bool = False
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class FaultServer:
    def __init__(self, tls: ssl.SSLContext | None = None):
        self.objects: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.ignores_conditions = False
        self.before = lambda method, key: None
        self.answers: dict[str, bytes] = {}  # of what it does not do itself, by a parameter of the query
        self.completes_on_any_condition = False  # as some servers do at the end of a multipart upload only
        self.demands_checksums = False  # as a bucket with Object Lock does
        self.refuses_checksums = False  # as servers do that do not know them
        self.region = "us-east-1"
        self.requests: list[str] = []
        self.scopes: set[str] = set()  # what requests are signed with: "key/region"
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"s3": self}))
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self._server.handle_error = lambda *_: None  # a client that does not trust it hangs up
        self.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def take_fault(self, method):
        for fault in self.faults:
            if fault.method in (method, "*") and fault.times:
                fault.times -= 1
                return fault
        return None

    @contextlib.contextmanager
    def serve(self):
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _etag(data):
    return f'"{hashlib.md5(data or b"").hexdigest()}"'


def _error(code):
    return f"<Error><Code>{code}</Code><Message>told to</Message></Error>".encode() if code else b""


class _Handler(BaseHTTPRequestHandler):
    s3: FaultServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        key = unquote(url.path).removeprefix("/a-lake").removeprefix("/")
        with self.s3.lock:
            self.s3.requests.append(self.command)
            if signed := re.search(
                r"Credential=(\w+)/\d+/([\w-]+)/s3/", self.headers.get("Authorization", "")
            ):
                self.s3.scopes.add(f"{signed[1]}/{signed[2]}")
            fault = self.s3.take_fault(self.command)
            self.s3.before(self.command, key)
            status, headers, answer = 0, {}, b""
            if fault is None or fault.done:
                status, headers, answer = self._work(key, query, body)
            if fault:
                status, headers, answer = fault.status, fault.headers, _error(fault.code)
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"x-amz-bucket-region": self.s3.region, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815

    def _work(self, key, query, body):
        objects = self.s3.objects
        checked = any(name.lower().startswith("x-amz-checksum") for name in self.headers)
        if self.s3.refuses_checksums and (checked or "x-amz-sdk-checksum-algorithm" in self.headers):
            return 501, {}, _error("NotImplemented")
        if self.s3.demands_checksums and self.command == "PUT" and not checked:
            return 400, {}, _error("InvalidRequest")
        there = objects.get(key)
        described = {"ETag": _etag(there), "Last-Modified": formatdate(usegmt=True)}
        absent = self.headers.get("If-None-Match") == "*" and not self.s3.ignores_conditions
        match = None if self.s3.ignores_conditions else self.headers.get("If-Match")
        for name in query.keys() & self.s3.answers.keys():
            return 200, {}, self.s3.answers[name]
        if "list-type" in query:
            return 200, {}, self._listing(query)
        if "delete" in query:
            keys = [
                found.text or "" for found in ElementTree.fromstring(body).iter() if found.tag.endswith("Key")
            ]
            for each in keys:
                objects.pop(each, None)
            deleted = "".join(f"<Deleted><Key>{each}</Key></Deleted>" for each in keys)
            return 200, {}, f"<DeleteResult>{deleted}</DeleteResult>".encode()
        if "uploads" in query:
            return (
                200,
                {},
                b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
            )
        if "partNumber" in query:
            objects[f"{key}/part"] = body
            return 200, {**described, "ETag": _etag(body)}, b""
        if "uploadId" in query:
            part = objects.pop(f"{key}/part", None)
            if self.command == "DELETE":
                return 204, {}, b""
            body, tag = part or b"", escape(_etag(part))
            answer = (
                f"<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>".encode()
            )
        elif self.command in ("GET", "HEAD"):
            if there is None:
                return 404, {}, _error("NoSuchKey")
            if match not in (None, _etag(there)):
                return 412, {}, _error("PreconditionFailed")
            return self._range(described, there)
        else:
            answer = b""
        if "uploadId" in query and self.s3.completes_on_any_condition:
            absent, match = False, None
        if match and there is None:
            return 404, {}, _error("NoSuchKey")
        if (absent and there is not None) or match not in (None, _etag(there)):
            return 412, {}, _error("PreconditionFailed")
        objects[key] = body
        return 200, {**described, "ETag": _etag(body)}, answer

    def _range(self, described, data):
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return 200, described, data
        first, last = asked.groups()
        start = int(first) if first else max(0, len(data) - int(last))
        end = min(int(last) + 1 if first and last else len(data), len(data))
        if start >= len(data):
            return 416, {}, _error("InvalidRange")
        return 206, {**described, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}, data[start:end]

    def _listing(self, query):
        prefix, after = query.get("prefix", [""])[0], query.get("start-after", [""])[0]
        after = max(after, query.get("continuation-token", [""])[0])
        keys = sorted(key for key in self.s3.objects if key.startswith(prefix) and key > after)
        page = keys[:2]
        more = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if len(keys) > 2 else ""
        contents = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(self.s3.objects[key])}</Size>"
            "<LastModified>2026-11-23T10:00:00.000Z</LastModified><ETag>tag</ETag></Contents>"
            for key in page
        )
        truncated = "true" if more else "false"
        return f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{contents}</ListBucketResult>".encode()
