"""Secrets and tokens stay where they belong: in no output at any log level, no command line, no option, no file."""

import base64
import bz2
import http.server
import re
import signal
import threading
from pathlib import Path

import apache_beam as beam
import pytest
import requests
from patience import wait_until
from typed import gather
from wgtwo_pipeline import flows
from wgtwo_pipeline.cli.build import build
from wgtwo_pipeline.ingest.settings import IngestSettings
from wgtwo_pipeline.run import jobs
from witness import CLIENT, CREDENTIALS, SECRET


class Overheard:
    """A token endpoint that passes requests on to another, and remembers the tokens that it gave."""

    def __init__(self, url: str) -> None:
        self.answers: list[dict[str, object]] = []
        overheard = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = ("Authorization", "Content-Type")
                answer = requests.post(
                    url, data=body, headers={name: self.headers[name] for name in names}, timeout=10
                )
                overheard.answers.append(answer.json())
                self.send_response(answer.status_code)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/oauth2/token"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def tokens(self) -> list[str]:
        return [str(answer["access_token"]) for answer in self.answers if "access_token" in answer]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def command_lines() -> str:
    """What `ps` shows of every process of the machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def test_what_goes_to_a_cluster_holds_no_secret(lake):
    """Neither Beam's options, which its UI shows, nor the graph with its pickled settings."""
    flags = {"endpoint": "api.wgtwo.com:443", "lake": str(lake)}
    config = build(gather("ingest", flags, CREDENTIALS))
    options = jobs.options(config, streaming=True)
    assert SECRET not in str(options.get_all_options())
    pipeline = beam.Pipeline(options=options)
    settings = IngestSettings(
        config.service, config.lake, config.subscription.terms, config.subscription.start
    )
    flows.ingest(pipeline, settings, jobs.members(config))
    graph = pipeline.to_runner_api()
    assert SECRET.encode() not in graph.SerializeToString()
    packed = re.findall(rb"QlpoO[A-Za-z0-9+/=]+", graph.SerializeToString())  # how Beam packs a pickled DoFn
    unpacked = b"".join(bz2.decompress(base64.b64decode(each)) for each in packed)
    assert CLIENT.encode() in unpacked, "the settings were not found: this shows nothing"
    assert SECRET.encode() not in unpacked
    assert SECRET not in repr(config)


@pytest.mark.heavy
@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("given", ["environment", "file"])
def test_neither_secret_nor_token_is_seen_anywhere(sandbox, command, lake, tmp_path, log_format, given):
    """`run` at log level debug with failing and refused tokens: output, `ps`, Beam's options and the whole lake."""
    service = sandbox(
        *("--rate", 100, "--types", "sms,voice", "--cut-streams", "2s"),
        *("--oauth-address", "127.0.0.1:0", "--oauth-client", f"{CLIENT}:{SECRET}"),
        *("--token-lifetime", "3s", "--fail-tokens", 2, "--token-validity", "2s"),
    )
    endpoint = Overheard(service.token_url)
    options: list[object] = ["run", "--endpoint", service.address, "--plaintext", "--token-url", endpoint.url]
    options += ["--lake", lake, "--publish-every", "3s"]
    options += ["--log-level", "debug", "--log-format", log_format]
    if given == "file":
        (tmp_path / "secret").write_text(SECRET + "\n")
        environment = {"CLIENT_ID": CLIENT}
        options += ["--client-secret-file", tmp_path / "secret"]
    else:
        environment = dict(CREDENTIALS)
    process = command(*options, env=environment)
    wait_until(
        lambda: service.groups() and service.groups()[0]["acked"] > 100 and len(endpoint.tokens) >= 3,
        60,
        "acked events and renewed tokens",
        lambda: process.stderr,
    )
    seen = command_lines()
    process.send(signal.SIGTERM)
    process.succeeds(60)
    endpoint.close()

    assert "DEBUG" in process.stderr or '"debug"' in process.stderr
    told = f"{CLIENT}:{SECRET}"  # the sandbox was told it in the open, by this test
    for secret in (SECRET, *endpoint.tokens):
        assert secret not in seen.replace(told, "")
        assert secret not in process.stdout
        assert secret not in process.stderr
        assert secret not in service.command.stderr
        for path in lake.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes()
