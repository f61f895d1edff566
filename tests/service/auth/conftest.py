"""The token endpoint, the service that demands its tokens, and the settings to reach them."""

import pytest
from token_servers import SECRET, GuardedService, TokenEndpoint
from wgtwo_pipeline.service.settings import OAuth, Secret


@pytest.fixture
def endpoint():
    endpoint = TokenEndpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def service(endpoint):
    service = GuardedService(endpoint)
    yield service
    service.close()


@pytest.fixture
def oauth(endpoint):
    return OAuth(endpoint.url, "client-1", Secret(SECRET), ("events.sms.subscribe",))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()
