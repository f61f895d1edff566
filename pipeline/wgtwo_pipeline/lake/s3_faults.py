"""S3's errors as sentences: the facts, the fix if it is known, and whether trying again can help."""

import re
from dataclasses import dataclass

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    LoginError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

_FIXES = {
    "NoSuchBucket": "the bucket does not exist: create it with `python infra/create_bucket.py` or name another"
    " with --lake",
    "AccessDenied": "access denied: grant this identity what infra/iam-*.json list",
    "InvalidAccessKeyId": "the access key is not known there: check AWS_ACCESS_KEY_ID, AWS_PROFILE or ~/.aws,"
    " and --s3-endpoint",
    "SignatureDoesNotMatch": "the secret access key is wrong: check AWS_SECRET_ACCESS_KEY, AWS_PROFILE or"
    " ~/.aws",
    "InvalidToken": "the session token is not valid: renew the credentials",
    "TokenRefreshRequired": "the session token must be renewed: renew the credentials",
    "ExpiredToken": "the credentials have expired: renew them (aws sso login, or a new session token)",
    "RequestTimeTooSkewed": "this machine's clock differs too much from the server's: synchronise it (NTP)",
    "PermanentRedirect": "the bucket is in another region: name it with --s3-region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: name it with --s3-region",
    "IllegalLocationConstraintException": "the bucket is in another region: name it with --s3-region",
    "InvalidBucketName": "the bucket's name is not valid: name another with --lake",
    "NotImplemented": "the server cannot do what was asked: use another server",
    "InvalidObjectState": "it is archived: restore it, and except epochs/, checkpoints/ and descriptors/ from the"
    " lifecycle rule that archives",
    "QuotaExceeded": "the quota is used up: raise it",
    "NoSuchUpload": "an upload was removed while it ran: try again",
}
# Trying again helps with these although they are 4xx, or have a fix.
_TRANSIENT = {
    "RequestTimeout",
    "IncompleteBody",
    "ExpiredToken",
    "OperationAborted",
    # Gone between two looks: a put, whose parts or whose rival were removed, begins anew.
    "NoSuchUpload",
    "NoSuchKey",
}
_TRANSIENT_STATUS = {408, 409, 425, 429}
_NO_CREDENTIALS = (
    "no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give this"
    " machine a role"
)
_CREDENTIAL_ERRORS = (
    CredentialRetrievalError,
    LoginError,
    MetadataRetrievalError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
_BROKEN = {"Connect": "cannot connect", "Timeout": "no answer in time"}


@dataclass(frozen=True)
class Fault:
    """What an S3 error says, without anything secret: facts, the fix if known, whether to try again."""

    facts: str
    fix: str | None
    transient: bool
    code: str = ""

    def __str__(self) -> str:
        return f"{self.fix} ({self.facts})" if self.fix else self.facts


class Faults:
    """What goes wrong at one endpoint, with one profile's credentials."""

    def __init__(self, endpoint: str, profile: str) -> None:
        self._endpoint = endpoint
        self._profile = profile
        self._no_credentials = Fault("no credentials", _NO_CREDENTIALS, transient=True)

    def note_credentials(self, error: Exception) -> None:
        """From now on this is why there are no credentials."""
        self._no_credentials = self._of_credentials(error)

    def of(self, error: Exception) -> Fault:
        """Return what an exception of boto3 or obstore means."""
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return self._answer(status, code)
        if isinstance(error, SSLError):
            return self._untrusted()
        if isinstance(error, (BotoConnectionError, HTTPClientError)):
            return self._broken("Timeout" if "Timeout" in type(error).__name__ else "Connect")
        if isinstance(error, NoCredentialsError):
            return self._no_credentials
        if isinstance(error, _CREDENTIAL_ERRORS):
            return self._of_credentials(error)
        if isinstance(error, BotoCoreError):
            return self._not_s3(type(error).__name__)
        return self._of_obstore(str(error))

    def _of_obstore(self, text: str) -> Fault:
        # object_store's errors are only text: an HTTP status and S3's error document, or a kind of failure.
        code = re.search(r"<Code>(\w+)</Code>|\(code: (\w+)\)", text)
        status = re.search(r"status code: (\d{3})", text)
        if "redirect without LOCATION" in text:
            return self._answer(301, "PermanentRedirect")
        if code or status:
            return self._answer(int(status[1]) if status else 200, (code[1] or code[2]) if code else "")
        if "credential provider" in text:
            return self._no_credentials
        if "certificate" in text.lower():
            said = re.search(r"invalid peer certificate: ([\w()]+)", text)
            return self._untrusted(said[1] if said else "")
        kind = re.search(r"kind: (\w+)", text)
        if kind:
            return self._broken(kind[1])
        # Success without what belongs to it: an error in an answer of 200, or another kind of server.
        return Fault("an answer of 200 without its content", self._wrong_server(), True)

    def _answer(self, status: int, code: str) -> Fault:
        transient = (
            status >= 500
            or status < 300  # an error within an answer of success
            or status in _TRANSIENT_STATUS
            or code in _TRANSIENT
        ) and code != "NotImplemented"
        fix = _FIXES.get(code)
        if fix is None and not transient:
            if status == 403:
                fix = _FIXES["AccessDenied"]
            elif not code or code.isdigit():
                return self._not_s3(f"HTTP {status}")
        return Fault(f"HTTP {status} {code}".rstrip(), fix, transient, code)

    def _of_credentials(self, error: Exception) -> Fault:
        """What is wrong with the credentials; what a process or an endpoint said of it may hold secrets."""
        profile = self._profile
        if isinstance(error, SSOError | TokenRetrievalError):
            fix = f"the SSO session has expired: aws sso login --profile {profile}"
        elif isinstance(error, LoginError):
            fix = f"the session has expired: aws login --profile {profile}"
        elif isinstance(error, CredentialRetrievalError):
            provider = getattr(error, "kwargs", {}).get("provider", "the provider")
            fix = f"{provider} of the profile {profile} gives no credentials: run it by hand, or name another profile"
        else:
            fix = _NO_CREDENTIALS
        return Fault(f"no credentials: {type(error).__name__}", fix, True)

    def _untrusted(self, said: str = "") -> Fault:
        facts = f"TLS failed: {said}" if said else "TLS failed"
        return Fault(facts, f"check {self._endpoint}, and AWS_CA_BUNDLE for a private authority", True)

    def _broken(self, kind: str) -> Fault:
        fix = f"check the network, {self._endpoint} and --s3-endpoint"
        return Fault(_BROKEN.get(kind, "the connection broke"), fix, True)

    def _not_s3(self, facts: str) -> Fault:
        return Fault(facts, self._wrong_server(), False)

    def _wrong_server(self) -> str:
        return f"{self._endpoint} does not answer as S3 does: check --s3-endpoint"
