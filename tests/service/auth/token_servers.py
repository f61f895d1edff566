"""A real token endpoint over HTTP, and a real gRPC server that demands its tokens."""

import base64
import http.server
import itertools
import json
import threading
import time
import urllib.parse
from concurrent import futures

import grpc
from patience import PATIENCE_SECONDS

SECRET = "correct-horse/battery+staple"
STREAM, CALL = "/test.Service/Stream", "/test.Service/Call"


class TokenEndpoint:
    """Serves `/oauth2/token`; a test changes its attributes. `requests` are the forms that were sent."""

    def __init__(self) -> None:
        self.lifetime_seconds: float | None = 3600.0
        self.failures: list[tuple[int, bytes]] = []  # status and body of the next answers, before any token
        self.retry_after: str | None = None
        self.delay_seconds = 0.0
        self.answers = threading.Event()  # cleared, no answer comes until it is set
        self.answers.set()
        self.known_scopes = {"events.sms.subscribe", "events.voice.subscribe"}
        self.requests: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.expiry: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                status, body = endpoint.answer(
                    self.path,
                    self.headers["Authorization"] or "",
                    self.rfile.read(int(self.headers["Content-Length"])).decode(),
                )
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if status != 200 and endpoint.retry_after is not None:
                    self.send_header("Retry-After", endpoint.retry_after)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/oauth2/token"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, path: str, authorization: str, form: str) -> tuple[int, bytes]:
        fields = dict(urllib.parse.parse_qsl(form))
        with self._lock:
            self.requests.append(fields)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.delay_seconds)
        self.answers.wait(PATIENCE_SECONDS)
        with self._lock:
            self.at_once -= 1
            if self.failures:
                return self.failures.pop(0)
        if path != "/oauth2/token":
            return 404, b"not here"
        expected = base64.b64encode(f"client-1:{SECRET}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, b'{"error": "invalid_client"}'
        if fields.get("grant_type") != "client_credentials":
            return 400, b'{"error": "unsupported_grant_type"}'
        if not set(fields.get("scope", "").split()) <= self.known_scopes:
            return 400, b'{"error": "invalid_scope"}'
        token = f"token-{next(self._numbers)}"
        answer = {"access_token": token, "token_type": "bearer"}
        if self.lifetime_seconds is not None:
            answer["expires_in"] = self.lifetime_seconds
            self.expiry[token] = time.monotonic() + self.lifetime_seconds
        return 200, json.dumps(answer).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class GuardedService(grpc.GenericRpcHandler):
    """Streams the tokens it is shown; refuses whom `admits` does not admit with UNAUTHENTICATED."""

    def __init__(self, endpoint: TokenEndpoint) -> None:
        self.endpoint = endpoint
        self.revoked: set[str] = set()
        self.refuse_all = False
        self.seen: list[tuple[str, str]] = []
        self.release = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(16), (self,))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def admits(self, token: str) -> bool:
        if self.refuse_all or token in self.revoked:
            return False
        return self.endpoint.expiry.get(token, 0.0) > time.monotonic()

    def service(self, handler_call_details):
        header = dict(handler_call_details.invocation_metadata).get("authorization", "")
        token = header.removeprefix("Bearer ")
        self.seen.append((handler_call_details.method, token))

        def check(context):
            if not self.admits(token):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid token")

        def stream(request, context):
            check(context)
            yield token.encode()
            context.add_callback(self.release.set)
            self.release.wait(PATIENCE_SECONDS)

        def call(request, context):
            check(context)
            return token.encode()

        if handler_call_details.method == STREAM:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(call)

    def close(self) -> None:
        self.release.set()
        self._server.stop(0).wait()
