"""One decision about the proxy, for streams and acks, and for every client."""

import pytest
from clients import CLIENTS, transport_of
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.service.proxy import Proxy, proxy_for
from wgtwo_pipeline.service.settings import Service

NAMES = ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy", "no_grpc_proxy", "no_proxy")
TARGET = "api.wgtwo.com:443"
PROXY = Proxy("proxy.example", 3128)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_variables_there_is_none():
    """The usual case; empty ones are none."""
    assert proxy_for(TARGET) is None


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("upper", [False, True])
def test_variables_count_in_both_cases(monkeypatch, name, upper):
    """HTTPS_PROXY is as good as https_proxy."""
    monkeypatch.setenv(name.upper() if upper else name, "http://proxy.example:3128")
    assert proxy_for(TARGET) == PROXY


def test_the_most_special_one_counts(monkeypatch):
    """grpc_proxy before https_proxy before http_proxy, and small letters before capitals."""
    for at, name in enumerate(["HTTP_PROXY", "http_proxy", "https_proxy", "grpc_proxy"]):
        monkeypatch.setenv(name, f"http://proxy{at}:80")
        assert proxy_for(TARGET) == Proxy(f"proxy{at}", 80)
    monkeypatch.setenv("grpc_proxy", " ")
    assert proxy_for(TARGET) == Proxy("proxy2", 80)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("proxy.example:3128", PROXY),  # without a scheme
        ("http://proxy.example:3128/", PROXY),
        ("http://proxy.example", Proxy("proxy.example", 80)),
        ("http://[::1]:3128", Proxy("::1", 3128)),
        ("http://me:pass%40word@proxy.example:3128", Proxy("proxy.example", 3128, "me:pass%40word")),
    ],
)
def test_forms_of_a_proxy(monkeypatch, value, expected):
    """As curl and others take them."""
    monkeypatch.setenv("https_proxy", value)
    assert proxy_for(TARGET) == expected


def test_the_password_is_used_and_not_shown():
    """It goes to the proxy as it is meant, and into no log."""
    proxy = Proxy("proxy.example", 3128, "me:pass%40word")
    assert proxy.authorization == "Basic bWU6cGFzc0B3b3Jk"
    assert proxy.url == "http://me:pass%40word@proxy.example:3128"
    assert Proxy("::1", 3128).url == "http://[::1]:3128"
    assert "pass" not in repr(proxy)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "value", ["https://proxy:443", "socks5://proxy:1080", "http://", "http://proxy:99999", "http://:80"]
)
def test_proxies_that_cannot_be_used(monkeypatch, client, value):
    """One sentence at the start that names the variable and the fix, whatever client there is."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConfigurationError, match=r"HTTPS_PROXY.*grpc_proxy.*no_proxy") as error:
        transport_of(client, Service(TARGET))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "target", ["127.0.0.1:1", "127.8.9.10:1", "localhost:50051", "LOCALHOST:1", "[::1]:1"]
)
@pytest.mark.parametrize("value", ["http://proxy.example:3128", "socks5://unusable"])
def test_what_stays_on_this_machine_needs_none(monkeypatch, target, value):
    """A proxy elsewhere could not even reach it."""
    monkeypatch.setenv("http_proxy", value)
    assert proxy_for(target) is None


@pytest.mark.parametrize(
    ("exceptions", "excepted"),
    [
        ("*", True),
        ("api.wgtwo.com", True),
        ("wgtwo.com", True),
        (".wgtwo.com", True),
        ("*.wgtwo.com", True),
        ("other.example, API.WGTWO.COM ,x", True),
        ("two.com", False),
        ("pi.wgtwo.com", False),
        ("api.wgtwo.co", False),
        ("", False),
        (",", False),
        ("10.0.0.0/8", False),
    ],
)
@pytest.mark.parametrize("name", ["no_grpc_proxy", "no_proxy", "NO_PROXY"])
def test_exceptions_by_name(monkeypatch, name, exceptions, excepted):
    """Hosts and their domains, as everywhere."""
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv(name, exceptions)
    assert proxy_for(TARGET) == (None if excepted else PROXY)


@pytest.mark.parametrize(
    ("target", "excepted"), [("10.1.2.3:443", True), ("11.1.2.3:443", False), ("[fd00::5]:1", True)]
)
def test_exceptions_by_network(monkeypatch, target, excepted):
    """As Kubernetes writes them."""
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "10.0.0.0/8,fd00::/16,nonsense/99")
    assert proxy_for(target) == (None if excepted else PROXY)
