"""Output as other programs read it: every line of a JSON log is an object, and no character stops a result."""

import json
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE_SECONDS
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_to_write
from wgtwo_pipeline.lake.store import LakeLocation


def objects(text):
    lines = text.splitlines()
    assert lines
    for line in lines:
        assert isinstance(json.loads(line), dict), line
    return [json.loads(line) for line in lines]


def test_lines_of_grpc_among_json(machine, service, tmp_path, showed):
    """What gRPC's core writes by itself (an untrusted server, debug output) comes as objects, too."""
    sandbox = service("--count", 5, "--tls-dir", tmp_path / "tls")
    machine.environment.update(GRPC_VERBOSITY="debug", GRPC_TRACE="tsi,http")
    for transport in ("grpc", "http2"):
        ended = machine.run(
            *("ingest", "--endpoint", sandbox.address, "--transport", transport, "--log-format", "json"),
            *("--lake", tmp_path / "lake", "--for", "5s"),
        )
        found = objects(ended.stderr)
        assert ended.returncode == 1
        assert "a certificate that is not trusted" in found[-1]["message"]
        showed(f"{transport}: {len(found)} lines, all objects")


def test_a_traceback_and_a_child_s_words(machine, showed):
    """Whatever a library, an interpreter or a child process writes to the descriptor is wrapped line by line."""
    script = (
        "import os, subprocess, sys, threading\n"
        "from wgtwo_pipeline import logs\n"
        "from wgtwo_pipeline.cli.stderr import only_objects\n"
        "logs.hide('hunter22')\n"
        "with only_objects():\n"
        '    os.write(2, b\'{"message": "mine"}\\n{not json}\\n[1]\\nraw \\xff hunter22\\n\')\n'
        "    subprocess.run(['sh', '-c', 'echo from a child >&2'])\n"
        "    t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()\n"
    )
    found = objects(machine.python("-c", script).stderr)
    messages = [each["message"] for each in found]
    assert messages[:5] == ["mine", "{not json}", "[1]", "raw � ***", "from a child"]
    assert messages[-1] == "ZeroDivisionError: division by zero"
    showed(f"{len(found)} lines, all objects, the secret hidden")


def test_standard_output_in_another_encoding(machine, tmp_path, showed):
    """Latin-1 and ASCII replace what they have no character for; the exit code is 0."""
    response = v0.SubscribeEventsResponse()
    event = response.event
    event.metadata.sequence, event.timestamp.seconds = 1, 1_700_000_000
    event.sms_event.id, event.sms_event.text = "x", "→ ødegård 🙂"
    store = open_to_write(LakeLocation(str(tmp_path / "lake")))
    SegmentWriter(store).write(Source("v0.x", "v0", "Subscribe"), [response.SerializeToString()], [1])
    for encoding in ("ascii", "latin-1"):
        machine.environment["PYTHONIOENCODING"] = encoding
        for command in (
            ["query", "SELECT text FROM sms", "--fresh"],
            ["query", "SELECT text FROM sms", "--fresh", "--format", "csv"],
            ["query", "SELECT text FROM sms", "--fresh", "--format", "json"],
            ["status"],
            ["query", "--help"],
        ):
            ended = machine.python(
                "-m",
                "wgtwo_pipeline",
                *command,
                *["--lake", tmp_path / "lake"][: 2 * (command[-1] != "--help")],
            )
            assert ended.returncode == 0, (encoding, command, ended.stderr)
            assert "UnicodeEncodeError" not in ended.stderr
    showed("every command exit 0")


def test_files_with_a_byte_order_mark(machine, tmp_path, showed):
    """A configuration or a secret that was saved with a BOM is read as what it says."""
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbflog-level = 'debug'\nlake = './there'\n")
    ended = machine.run("status", "--config", tmp_path / "config.toml")
    assert "there" in ended.stderr
    assert ended.returncode == 1
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbfcorrect-horse\r\n")
    ended = machine.python(
        "-c",
        "from wgtwo_pipeline.service.settings import Secret; import sys;"
        "sys.stdout.write(str(len(Secret(file=sys.argv[1]).reveal())))",
        tmp_path / "secret",
    )
    assert ended.stdout == str(len("correct-horse"))
    showed("both read")


def test_closed_descriptors(machine, tmp_path, showed):
    """What is printed to `>&-` goes nowhere, and never into a file of the lake that took the descriptor's number."""
    lake, program = tmp_path / "lake", f"{sys.executable} -m wgtwo_pipeline"
    script = f"""
        {program} run --for 3s --lake {lake} <&- >&- 2>&- || exit 10
        {program} schema >&- || exit 11
        {program} --help >&- || exit 12
        {program} query "SELECT count(*) FROM events" --lake {lake} 2>&- || exit 13
        {program} audit --lake {lake} <&- 2>&1 || exit 14
    """
    ended = subprocess.run(
        ["sh", "-c", script],
        env=machine.variables(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "unexpected" not in ended.stderr
    showed(ended.stdout.splitlines()[-1])


def test_no_room_for_what_is_printed(machine, showed):
    """A full disk under standard output is one sentence."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "wgtwo_pipeline", "schema"],
            env=machine.variables(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    assert ended.returncode == 1
    assert "what was to be printed cannot be written: No space left on device" in ended.stderr
    showed(ended.stderr)
