"""Issues access tokens for client credentials and checks the ones that calls bring.

A call that brings an Authorization header must bring a valid one; whether it must bring one at all is the
sandbox's setting. Times are real ones, whatever the sandbox's clock does: a client counts its token's life itself.
"""

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import grpc

from wgtwo_pipeline.sandbox.events.kinds import SCOPES

Metadata = Sequence[tuple[str, str | bytes]]


class RefusedError(Exception):
    """The call is answered with this status."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Token:
    """What an access token stands for."""

    client: str
    scopes: frozenset[str]
    expires_at: float


class Authority:
    """Knows one client (or any, where none is named) and the tokens it has issued.

    `demanded` says whether who brings no token is turned away. `validity_seconds` gives the time after which a token
    really expires, however long it is said to live.
    """

    def __init__(
        self,
        client: str | None,
        demanded: bool,
        lifetime_seconds: float,
        validity_seconds: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._demanded = demanded
        self._lifetime_seconds = lifetime_seconds
        self._validity_seconds = validity_seconds
        self._now = now
        self._tokens: dict[str, Token] = {}

    def token_answer(self, authorization: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Answers a token request: the HTTP status and the JSON object of RFC 6749, sections 5.1 and 5.2."""
        client = self._authenticated(authorization)
        if client is None:
            return 401, _error("invalid_client", "send the client's id and secret by HTTP basic auth")
        if form.get("grant_type") != "client_credentials":
            return 400, _error("unsupported_grant_type", "grant_type must be client_credentials")
        scopes = form.get("scope", "").split()
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown:
            return 400, _error("invalid_scope", f"there is no scope {' '.join(unknown)}")
        text = secrets.token_urlsafe(32)
        now = self._now()
        self._tokens = {text: token for text, token in self._tokens.items() if token.expires_at > now}
        lives = self._validity_seconds() or self._lifetime_seconds
        self._tokens[text] = Token(client, frozenset(scopes), now + lives)
        return 200, {
            "access_token": text,
            "token_type": "bearer",
            "expires_in": int(self._lifetime_seconds),
            "scope": " ".join(scopes),
        }

    def client_of(self, metadata: Metadata | None, scopes: Iterable[str | None]) -> str:
        """The OAuth client that calls; empty where none need say. Raises RefusedError as the contract has it."""
        header = next((str(value) for key, value in metadata or () if key == "authorization"), None)
        if header is None:
            if self._demanded:
                raise RefusedError(
                    grpc.StatusCode.UNAUTHENTICATED, "send the metadata authorization: Bearer <access token>"
                )
            return ""
        kind, _, text = header.partition(" ")
        token = self._tokens.get(text.strip()) if kind.lower() == "bearer" else None
        if token is None or token.expires_at <= self._now():
            raise RefusedError(grpc.StatusCode.UNAUTHENTICATED, "the access token is unknown or has expired")
        for scope in scopes:
            if scope is not None and scope not in token.scopes:
                raise RefusedError(
                    grpc.StatusCode.PERMISSION_DENIED, f"the access token lacks the scope {scope}"
                )
        return token.client

    def _authenticated(self, authorization: str) -> str | None:
        kind, _, encoded = authorization.partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            given = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        client, colon, secret = given.partition(":")
        if not (client and colon and secret):
            return None
        # RFC 6749 has id and secret form-encoded, most clients send them as they are: either is right.
        if self._client is None or self._client in (given, f"{unquote_plus(client)}:{unquote_plus(secret)}"):
            return unquote_plus(client)
        return None


def _error(error: str, description: str) -> dict[str, Any]:
    return {"error": error, "error_description": description}
