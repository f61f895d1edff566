"""Proxies in the environment: one decision for streams, acks and tokens, and never one for this machine itself."""

import pytest

DEAD = "127.0.0.1:9"


@pytest.mark.parametrize("transport", ["http2", "grpc"])
@pytest.mark.parametrize(
    "variables",
    [
        {"http_proxy": DEAD},
        {"http_proxy": f"http://{DEAD}", "https_proxy": f"http://{DEAD}"},
        {"HTTP_PROXY": f"http://{DEAD}", "HTTPS_PROXY": f"http://{DEAD}", "ALL_PROXY": f"http://{DEAD}"},
        {"https_proxy": f"https://{DEAD}", "grpc_proxy": f"https://{DEAD}"},
        {"http_proxy": f"socks5://{DEAD}", "all_proxy": f"socks5://{DEAD}"},
        {"http_proxy": f"http://{DEAD}", "no_proxy": "*"},
        {"http_proxy": f"http://{DEAD}", "no_proxy": "example.com"},
    ],
    ids=lambda variables: " ".join(f"{name}={value}" for name, value in variables.items()),
)
def test_a_service_on_loopback(machine, service, tmp_path, showed, variables, transport):
    """Whatever proxies are named, a service on this machine is reached without: all that comes is acked."""
    sandbox = service("--count", 10)
    machine.environment.update(variables)
    ended = machine.run(
        *("ingest", "--endpoint", sandbox.address, "--plaintext", "--transport", transport),
        *("--lake", tmp_path / "lake", "--until-idle", "1s"),
    )
    assert ended.returncode == 0, ended.stderr
    assert "received 10, journaled 10, acked 10, failed acks 0" in ended.stderr
    showed(ended.stderr.splitlines()[-1])


@pytest.mark.parametrize("proxy", [f"socks5://{DEAD}", f"https://{DEAD}"])
@pytest.mark.parametrize("transport", ["http2", "grpc"])
def test_a_proxy_that_carries_no_http_2(machine, tmp_path, showed, proxy, transport):
    """For a service elsewhere it is refused at the start with one sentence that names the variable."""
    machine.environment["https_proxy"] = proxy
    ended = machine.run(
        "ingest",
        "--endpoint",
        "api.example.invalid:443",
        "--transport",
        transport,
        "--lake",
        tmp_path / "lake",
    )
    assert ended.returncode == 2, ended.stderr
    assert "https_proxy" in ended.stderr
    assert "has to be an HTTP proxy" in ended.stderr
    showed(ended.stderr.splitlines()[-1])


def test_a_run_with_a_proxy(machine, tmp_path, showed):
    """`run` with its own sandbox receives, acks and publishes, whatever proxy is set."""
    machine.environment.update(
        http_proxy=f"http://{DEAD}", HTTPS_PROXY=f"http://{DEAD}", all_proxy=f"socks5://{DEAD}"
    )
    ended = machine.run("run", "--for", "3s", "--lake", tmp_path / "lake")
    assert ended.returncode == 0, ended.stderr
    assert "failed acks 0" in ended.stderr
    assert "acked 0," not in ended.stderr
    showed(next(line for line in ended.stderr.splitlines() if "stopped: received" in line))
