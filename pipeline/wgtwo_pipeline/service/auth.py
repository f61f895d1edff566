"""OAuth 2.0 client credentials: the token that the event service wants to see on every call.

Neither tokens nor the client secret are part of any error, log line or repr.
"""

import email.utils
import json
import logging
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from wgtwo_pipeline import trust
from wgtwo_pipeline.errors import PipelineError, ServiceError
from wgtwo_pipeline.service import diagnose
from wgtwo_pipeline.service.settings import OAuth, is_loopback

logger = logging.getLogger(__name__)

_FETCH_SECONDS: Final = 10.0
_LONGEST_LEEWAY_SECONDS: Final = 60.0
_UNKNOWN_LIFETIME_SECONDS: Final = 300.0
_FIRST_BACKOFF_SECONDS: Final = 0.2
_LONGEST_BACKOFF_SECONDS: Final = 15.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 300.0
_LONGEST_LIFETIME_SECONDS: Final = 365 * 24 * 3600.0
_LIFETIME: Final = "lifetime"
"""What `expires_in` is called on its way through Authlib."""
_ROTATION_SECONDS: Final = 1800.0
"""How long a client that was let in before may be refused: a new secret takes its time to spread. As long as the
service keeps events (wire contract, "History"): until then waiting costs nothing, after it somebody must look."""
_TRY_AGAIN_STATUS: Final = (408, 425, 429)
_CLIENT_ERRORS: Final = ("invalid_client", "unauthorized_client", "access_denied")


class TokenUnavailableError(PipelineError):
    """There is no token now; asking again later may help, after `retry_after_seconds` if the endpoint says so."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    refresh_at: float
    expires_at: float


class TokenSource:
    """One client's token, fetched when it is first needed and again before it expires. Threads may share it."""

    def __init__(self, oauth: OAuth, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._oauth, self._monotonic = oauth, monotonic
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._refused_before = False
        self._fetched_before = False
        self._rejected_at: float | None = None
        self._failure: TokenUnavailableError | None = None
        self._retry_at = 0.0
        self._backoff_seconds = _FIRST_BACKOFF_SECONDS
        self.requests = Counter[str]()
        """How often a token was asked for, by outcome: `ok` or `failed`."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token source holds a token and a lock: pickle its OAuth settings instead")

    def token(self) -> str:
        """A token that has not expired.

        Blocks while it is fetched, by one thread at a time; a thread whose token is only about to expire does not
        wait for another thread's refresh. After a failure the endpoint is left alone for a while that grows:
        until then, unless the old token lasts, it raises TokenUnavailableError at once. Raises ServiceError if the
        endpoint refuses the client, its secret or its scopes.
        """
        token = self._token
        if token is not None and self._monotonic() < token.refresh_at:
            return token.value
        lasting = self._lasting(token)
        if not self._lock.acquire(blocking=lasting is None):
            assert lasting is not None
            return lasting.value
        try:
            return self._renewed().value
        finally:
            self._lock.release()

    def at_hand(self) -> str | None:
        """A token for which nobody has to wait; None if there is none."""
        token = self._token
        return token.value if token is not None and self._monotonic() < token.refresh_at else None

    def accepted(self) -> None:
        """Notes that the service has accepted a token: the next refusal is a first one again."""
        self._refused_before = False

    def refused(self, value: str) -> None:
        """Notes that the service has refused this token: it is not given out again.

        Raises ServiceError if it was fetched because the one before it was refused, too. That a token was refused
        which has expired by now proves nothing.
        """
        with self._lock:
            token = self._token
            if token is None or token.value != value:
                return
            self._token = None
            if self._lasting(token) is None:
                return
            if self._refused_before:
                raise ServiceError(
                    f"the event service refuses the tokens that {self._oauth.token_url} gives to the client "
                    f"{self._oauth.client_id} for the scopes {self._scopes()}: let the client have these scopes, or "
                    "ask for others with --scope; and check that --token-url belongs to this service"
                )
            self._refused_before = True

    def _renewed(self) -> _Token:
        token = self._token
        now = self._monotonic()
        if token is not None and now < token.refresh_at:
            return token  # another thread has just fetched it
        try:
            if self._failure is not None and now < self._retry_at:
                raise self._failure.with_traceback(None)
            self._token = self._fetch()
        except PipelineError as error:
            if error is not self._failure:
                self.requests["failed"] += 1
            if isinstance(error, TokenUnavailableError) and error is not self._failure:
                self._back_off(error)
            lasting = self._lasting(token)
            if lasting is None:
                raise
            return lasting
        self.requests["ok"] += 1
        self._failure, self._fetched_before, self._rejected_at = None, True, None
        self._backoff_seconds = _FIRST_BACKOFF_SECONDS
        return self._token

    def _back_off(self, failure: TokenUnavailableError) -> None:
        wait = max(self._backoff_seconds * random.uniform(0.5, 1.5), failure.retry_after_seconds)
        self._failure, self._retry_at = failure, self._monotonic() + wait
        self._backoff_seconds = min(2 * self._backoff_seconds, _LONGEST_BACKOFF_SECONDS)
        logger.warning("%s; asking again in %.1f s", failure, wait)

    def _lasting(self, token: _Token | None) -> _Token | None:
        return token if token is not None and self._monotonic() < token.expires_at else None

    def _fetch(self) -> _Token:
        asked_at = self._monotonic()
        problem: PipelineError
        try:
            answer = self._ask()
        except OAuthError as error:
            problem = self._oauth_problem(error)
        except (requests.RequestException, ValueError) as error:
            problem = self._http_problem(error)
        else:
            return self._read(answer, asked_at)
        # Raised out here, so that it does not refer to the request, which holds the secret.
        raise problem

    def _ask(self) -> dict[str, Any]:
        oauth = self._oauth
        with OAuth2Session(
            oauth.client_id,
            oauth.client_secret.reveal(),
            scope=" ".join(oauth.scopes) or None,
            token_endpoint_auth_method="client_secret_basic",  # noqa: S106  # the name of a method
            default_timeout=_FETCH_SECONDS,
        ) as session:
            session.verify = trust.bundle()  # REQUESTS_CA_BUNDLE still wins
            session.register_compliance_hook("access_token_response", _as_the_standard_says)
            # What stays on this machine goes through no proxy, whatever the environment says.
            proxies = {"no_proxy": "*"} if is_loopback(urlsplit(oauth.token_url).hostname or "") else None
            answer: dict[str, Any] = session.fetch_token(
                oauth.token_url, grant_type="client_credentials", allow_redirects=False, proxies=proxies
            )
            return answer

    def _read(self, answer: dict[str, Any], asked_at: float) -> _Token:
        value = answer.get("access_token")
        value = value.strip() if isinstance(value, str) else value
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
            raise self._http_problem(ValueError("no access token in the answer"))
        try:
            lifetime = float(answer[_LIFETIME])
        except (KeyError, OverflowError, TypeError, ValueError):
            lifetime = math.nan
        if math.isnan(lifetime):
            lifetime = _UNKNOWN_LIFETIME_SECONDS
        lifetime = min(max(lifetime, 1.0), _LONGEST_LIFETIME_SECONDS)
        leeway = min(_LONGEST_LEEWAY_SECONDS, lifetime / 3)
        return _Token(value, refresh_at=asked_at + lifetime - leeway, expires_at=asked_at + lifetime)

    def _oauth_problem(self, error: OAuthError) -> PipelineError:
        client, said = self._oauth.client_id, f"{self._oauth.token_url} says {error.error}"
        if error.error in _CLIENT_ERRORS:
            if self._may_be_rotating():
                return TokenUnavailableError(
                    f"no token: {said} to the client {client}, which it let in before"
                )
            return ServiceError(f"{said} to the client {client}: check CLIENT_ID and CLIENT_SECRET")
        if error.error == "invalid_scope":
            return ServiceError(
                f"{said} to the client {client}, which asked for {self._scopes()}: let it have these scopes, or ask "
                "for others with --scope, or for fewer --types"
            )
        if error.error in ("invalid_request", "unsupported_grant_type"):
            return ServiceError(f"{said} to a request for client credentials: check --token-url")
        return TokenUnavailableError(f"no token: {said}")

    def _http_problem(self, error: requests.RequestException | ValueError) -> PipelineError:
        """What has never worked and cannot work as configured is a ServiceError; all else may pass."""
        url = self._oauth.token_url
        misconfigured = None
        retry_after_seconds = 0.0
        if isinstance(error, requests.HTTPError):
            status = error.response.status_code
            retry_after_seconds = _retry_after_seconds(error.response)
            said = f"answers with HTTP status {status}"
            if status in (401, 403):
                misconfigured = f"{url} {said}: check CLIENT_ID and CLIENT_SECRET"
            elif status < 500 and status not in _TRY_AGAIN_STATUS:
                misconfigured = f"{url} {said}: check --token-url"
        elif isinstance(error, requests.ConnectionError):  # SSLError is one
            said = f"cannot be reached ({type(error).__name__})"
            host = urlsplit(url).hostname or ""
            if diagnose.unresolvable(host):
                misconfigured = f"there is no host named {host}: check --token-url"
            elif "CERTIFICATE_VERIFY_FAILED" in str(error):
                misconfigured = (
                    f"the certificate of {url} is not trusted: name its authority in REQUESTS_CA_BUNDLE"
                )
            elif "WRONG_VERSION_NUMBER" in str(error):
                misconfigured = f"{url} does not speak TLS: check --token-url"
        elif isinstance(error, requests.Timeout):
            said = "does not answer"
        else:
            said = "does not answer as a token endpoint does"
            misconfigured = f"{url} {said}: check --token-url"
        if misconfigured and not self._fetched_before:
            return ServiceError(misconfigured)
        return TokenUnavailableError(f"no token: {url} {said}", retry_after_seconds)

    def _may_be_rotating(self) -> bool:
        """Whether a client that is refused was let in before, and not refused for so long that it won't pass."""
        now = self._monotonic()
        if self._rejected_at is None:
            self._rejected_at = now
        return self._fetched_before and now - self._rejected_at < _ROTATION_SECONDS

    def _scopes(self) -> str:
        return " ".join(self._oauth.scopes) or "(none)"


def _as_the_standard_says(response: requests.Response) -> requests.Response:
    """What Authlib can read: it takes no lifetime but whole seconds, and no byte order mark.

    OAuth errors come with 400 or 401; any other failure is not the token endpoint's word and raises HTTPError.
    """
    if response.status_code not in (400, 401):
        response.raise_for_status()
    try:
        answer = json.loads(response.content.decode("utf-8-sig"))
    except ValueError:
        return response  # whose status then says more than its text
    if isinstance(answer, dict) and "expires_in" in answer:
        answer[_LIFETIME] = answer.pop("expires_in")
    response._content = json.dumps(answer).encode()
    return response


def _retry_after_seconds(response: requests.Response) -> float:
    """What a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date), within bounds; 0 without one."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        seconds = float(text)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)
