"""The commands of wgtwo's own guide, with nothing changed but the host and how it is trusted."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from processes import Service
from servers import tool
from wgtwo_pipeline.sandbox.services.descriptor_set import descriptor_set

pytestmark = pytest.mark.heavy

CREDENTIALS = {"CLIENT_ID": "some-client", "CLIENT_SECRET": "s0me/secret+that=is:long"}

SUBSCRIBE = """
grpcurl -protoset wgtwo.bin \\
  -d '{ "type": ["SMS_EVENT"] }' \\
  apisandbox.dub.prod.wgtwo.com:443 \\
  wgtwo.events.v0.EventsService.Subscribe
"""
SEND = """
grpcurl -protoset wgtwo.bin \\
  -d '{
        "content": "This is a test message",
        "from_subscriber": { "e164": "+4799990000" },
        "to_e164": { "e164": "+46724450000" }
      }' \\
  apisandbox.dub.prod.wgtwo.com:443 \\
  wgtwo.sms.v0.SmsService/SendTextFromSubscriber
"""
TOKEN = """
curl -s -u ${CLIENT_ID}:${CLIENT_SECRET} \\
    --request POST \\
    --url 'https://id.wgtwo.com/oauth2/token' \\
    --header 'content-type: application/x-www-form-urlencoded' \\
    --data grant_type="client_credentials" \\
    --data scope="events.sms.subscribe"
"""
SUBSCRIBE_WITH_TOKEN = """
grpcurl -H "Authorization: Bearer ${ACCESS_TOKEN}" \\
  -protoset wgtwo.bin \\
  -d '{ "type": ["SMS_EVENT"], "start_at_oldest_possible": {} }' \\
  api.wgtwo.com:443 \\
  wgtwo.events.v0.EventsService.Subscribe
"""


@pytest.fixture
def sandbox(tmp_path):
    started = []

    def start(*options):
        started.append(Service(tmp_path / "output", *options))
        return started[-1]

    yield start
    for each in started:
        each.command.end()


def run(folder: Path, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """In a shell that finds grpcurl, in a folder with `wgtwo.bin`."""
    path = os.pathsep.join([str(Path(tool("grpcurl")).parent), os.environ["PATH"]])
    (folder / "wgtwo.bin").write_bytes(descriptor_set().SerializeToString())
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def sms_events(text: str) -> list[dict]:
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text.rstrip()):
        message, at = decoder.raw_decode(text, at)
        found.append(message["event"]["sms_event"])
        at += 1
    return found


def test_the_first_part_without_authorization(sandbox, tmp_path):
    """A stream that times out by itself, with the SMS that was sent meanwhile among its events."""
    service = sandbox("--rate", 50, "--stream-lifetime", "8s")
    here = {"apisandbox.dub.prod.wgtwo.com:443": service.address, "grpcurl ": "grpcurl -plaintext "}
    subscribe, send = (changed(command, here) for command in (SUBSCRIBE, SEND))
    until_it_streams = "until [[ -s shown.json ]]; do sleep 0.05; done"
    run(
        tmp_path,
        f"{subscribe.rstrip()} > shown.json &\n{until_it_streams}\n{send.rstrip()} > sent.json\nwait",
    )
    assert json.loads((tmp_path / "sent.json").read_text())["status"] == "SEND_OK"
    found = sms_events((tmp_path / "shown.json").read_text())
    assert len(found) > 3, "made-up events come as well"
    sent = [event for event in found if event.get("text") == "This is a test message"]
    assert [event["from_e164"]["e164"] for event in sent] == ["+4799990000"]


def test_the_second_part_with_tls_and_a_token(sandbox, tmp_path):
    """curl gets the token, grpcurl is let in with it, and not with another."""
    client = ":".join(CREDENTIALS.values())
    service = sandbox(
        *("--rate", 100, "--tls-dir", tmp_path, "--stream-lifetime", "2s"),
        *("--oauth-address", "127.0.0.1:0", "--oauth-client", client),
    )
    token_url = service.command.says(r"tokens at (\S+)")[1]
    answer = run(tmp_path, changed(TOKEN, {"https://id.wgtwo.com/oauth2/token": token_url}), **CREDENTIALS)
    token = json.loads(answer.stdout)
    assert token["expires_in"] > 0
    here = {"api.wgtwo.com:443": service.address, "grpcurl ": "grpcurl -cacert cert.pem "}
    command = changed(SUBSCRIBE_WITH_TOKEN, here)
    assert len(sms_events(run(tmp_path, command, ACCESS_TOKEN=token["access_token"]).stdout)) > 3
    refused = run(tmp_path, command, ACCESS_TOKEN=token["access_token"] + "x")
    assert refused.returncode != 0
    assert "Unauthenticated" in refused.stderr
    assert refused.stdout == ""


def test_the_go_client_with_tls_and_oauth(sandbox, tmp_path):
    """Queue, durable name, 10 in flight, manual ack within 10 s: what it shows it acks, and the service counts it."""
    client = ":".join(CREDENTIALS.values())
    service = sandbox(
        *("--rate", 200, "--tls-dir", tmp_path),
        *("--oauth-address", "127.0.0.1:0", "--oauth-client", client),
    )
    token_url = service.command.says(r"tokens at (\S+)")[1]
    program = (
        f"{tool('guide-client')} --address {service.address} --ca-file cert.pem "
        f"--token-url {token_url} --events 40"
    )
    done = run(tmp_path, program, **CREDENTIALS)
    assert done.returncode == 0, done.stderr
    shown = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert len(shown) == 40
    assert all("smsEvent" in event for event in shown)
    group = service.group()
    assert group["name"][2:] == ["queue", "test", "test"]
    assert group["durable"]
    assert group["acked"] == 40
    assert group["most_in_flight"] <= 10
    # Another member of the queue goes on where it stopped.
    more = [json.loads(line)["event"] for line in run(tmp_path, program, **CREDENTIALS).stdout.splitlines()]
    sequences = [int(event["metadata"]["sequence"]) for event in (*shown, *more)]
    assert sorted(sequences) == list(range(1, 81))
    wrong = run(tmp_path, program, **CREDENTIALS | {"CLIENT_SECRET": "wrong"})
    assert wrong.returncode == 1


def changed(command: str, changes: dict[str, str]) -> str:
    for before, after in changes.items():
        assert before in command
        command = command.replace(before, after)
    return command
