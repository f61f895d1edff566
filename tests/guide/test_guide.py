"""docs/guide.md, typed as it stands: every command of it works and shows what the page says.

But for its ports, which lie where the system takes those of outgoing connections from: other tests open many.
"""

import json
import re
import socket
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from patience import wait_until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
OWN_TERMINAL, SECOND_TERMINAL = "# in a terminal of its own", "# in a second terminal, until Ctrl-C"


def test_every_command_of_the_guide(shell, tmp_path):
    """In the order of the page. Sandboxes go on until its end, streams until they have shown something."""
    page = GUIDE.read_text().replace("127.0.0.1:50", "127.0.0.1:20")
    blocks = re.findall(r"^```shell\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 10
    outputs: list[str] = []
    stream = tmp_path / "none"
    for number, block in enumerate(blocks):
        output = tmp_path / f"{number:02d}.txt"
        first, _, _ = block.partition("\n")
        if first == OWN_TERMINAL:
            addresses = re.findall(r"address (\S+)", block)
            assert not any(map(listens, addresses)), f"the guide's ports {addresses} are in use"
            shell.start(block, output)
            for address in addresses:
                wait_until(partial(listens, address), 60, f"a sandbox on {address}", output.read_text)
        elif first == SECOND_TERMINAL:
            stream = output
            shell.start(block, output)
            wait_for_text(stream, "sms_event")
        else:
            outputs.append(shell.run(block))
            if "SendTextFromSubscriber" in block:
                assert "SEND_OK" in outputs[-1]
                wait_for_text(stream, "This is a test message")
                wait_until(partial(reported, stream), 10, "its delivery report")

    text = "\n".join(outputs)
    assert "wgtwo.sms.v0.SmsService" in text
    assert '"status": "SERVING"' in text
    assert '"drop_acks": 0.05' in text
    token = json.loads((shell.folder / "guide" / "token.json").read_text())
    assert token["token_type"].lower() == "bearer"
    acked = [json.loads(line) for line in text.splitlines() if line.startswith('{"event"')]
    assert len(acked) == 20, "the Go client shows and acks 20 events"
    assert "FROM_SUBSCRIBER" in text
    assert "audit passed" in text
    folder = shell.folder / "guide" / "lake" / "tables"
    tables = {path.name for path in folder.iterdir()}
    assert "sms" in tables
    assert tables & {"handset_change_v1", "country_change_v1"}, "of v1"

    revokes = sum(
        pq.ParquetFile(path).metadata.num_rows for path in folder.glob("consent_revoke/*/*.parquet")
    )
    stored = {
        sequence
        for path in folder.glob("sms/*/*.parquet")
        for sequence in pq.ParquetFile(path).read(columns=["sequence"])["sequence"].to_pylist()
    }
    theirs = {int(event["event"]["metadata"]["sequence"]) for event in acked}
    assert len(stored) + revokes >= 100, "revocations of consent are always added"
    assert not stored & theirs, "the pipeline goes on where the Go client stopped"
    assert min(stored) == max(theirs) + 1


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def wait_for_text(output: Path, text: str) -> None:
    wait_until(lambda: text in output.read_text(), 60, text, output.read_text)


def reported(stream: Path) -> bool:
    """Whether the delivery report of the SMS that was sent is there."""
    text = stream.read_text()
    decoder, at, messages = json.JSONDecoder(), 0, []
    while at < len(text):
        try:
            message, at = decoder.raw_decode(text, at)
        except ValueError:
            break  # the last is not whole yet
        messages.append(message["event"])
        while at < len(text) and text[at].isspace():
            at += 1
    sent = {
        event["sms_event"]["id"]
        for event in messages
        if event.get("sms_event", {}).get("text") == "This is a test message"
    }
    reports = [
        event["sms_delivery_report_event"] for event in messages if "sms_delivery_report_event" in event
    ]
    return any(report["sms_id"] in sent and report["status"] == "DELIVERED" for report in reports)
