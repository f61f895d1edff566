"""How S3 is reached: boto3's session for credentials, region and endpoint."""

import logging
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import SplitResult, urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoCredentialsError
from obstore.exceptions import BaseError
from obstore.store import S3Store

from wgtwo_pipeline import trust
from wgtwo_pipeline.errors import ConfigurationError, LakeError
from wgtwo_pipeline.lake.s3_faults import Fault, Faults
from wgtwo_pipeline.lake.store import LakeLocation, Tag

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LOG = logging.getLogger(__name__)

for _name in ("boto3", "botocore", "urllib3"):
    # Their debug texts hold signed headers, their info is noise.
    logging.getLogger(_name).setLevel(logging.WARNING)
for _name in ("botocore.credentials", "botocore.tokens"):
    # They warn with a traceback of what then comes as an error, and is said in one sentence.
    logging.getLogger(_name).setLevel(logging.CRITICAL)

# botocore renews credentials from 15 minutes before they expire; asking every minute keeps ours as fresh.
# object_store asks again when less than 5 minutes are left.
_CREDENTIALS_SECONDS = 6 * 60
AWAIT_CREDENTIALS_SECONDS = 10.0

_NOBODY = {"aws_access_key_id": "-", "aws_secret_access_key": "-"}
_CHECKSUMS: Any = {"checksum_algorithm": "sha256"}


class S3Credential(TypedDict):
    """What obstore asks of a credential provider."""

    access_key_id: str
    secret_access_key: str
    token: str | None
    expires_at: datetime | None


class S3Access:
    """One process's way to one bucket. Clients are made when needed; nothing here is to be pickled."""

    def __init__(self, location: LakeLocation) -> None:
        # Not as a URL: `#` and `?` belong to the key.
        self.bucket, _, prefix = location.url[len("s3://") :].partition("/")
        self.prefix = prefix.strip("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.bucket):
            raise ConfigurationError(f"--lake {location.url}: name a bucket, as in s3://bucket/prefix")
        endpoint = urlsplit(location.s3_endpoint or "https://aws")
        if endpoint.scheme not in ("http", "https") or not endpoint.netloc:
            raise ConfigurationError(f"--s3-endpoint {location.s3_endpoint}: write http(s)://host:port")
        self.name = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        self._location = location
        self._path_style = location.s3_endpoint is not None
        self._credentials: Any = None
        try:
            core = botocore.session.get_session()
            self._session = boto3.Session(botocore_session=core, region_name=location.s3_region)
            profile = core.get_config_variable("profile")
            named = core.get_config_variable("ca_bundle")
            self._ca_bundle = trust.checked(named, "AWS_CA_BUNDLE") if named else trust.bundle()
            # Where the bucket is can be said without the credentials, which may not be there yet.
            meta = self._client(Config(), **_NOBODY).meta
        except BotoCoreError as error:
            raise LakeError(f"lake {self.name}: {error}") from None
        self.endpoint: str = meta.endpoint_url
        self._faults = Faults(self.endpoint, profile or "default")
        # The endpoint can also come from the environment or ~/.aws/config.
        self._path_style = ".amazonaws.com" not in self.endpoint
        self.region: str = "us-east-1" if meta.region_name == "aws-global" else meta.region_name

    def client(self, timeout_seconds: float = 20, attempts: int = 3) -> "S3Client":
        """Return a boto3 client: for what obstore cannot do, and where its errors say too little.

        Raises NoCredentialsError where there are none yet: a client made without them would never have any.
        """
        if not self.has_credentials():
            raise NoCredentialsError
        return self._client(
            Config(
                connect_timeout=min(5, timeout_seconds),
                read_timeout=timeout_seconds,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                # None but ours, on all calls of an upload or on none: servers refuse what does not fit together.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if self._path_style else "auto"},
            )
        )

    def _client(self, config: Config, **credentials: Any) -> "S3Client":
        return self._session.client(
            "s3",
            endpoint_url=self._location.s3_endpoint,
            config=config,
            verify=self._ca_bundle,
            **credentials,
        )

    def objects(self, *, checksums: bool = False, **timeouts: timedelta) -> S3Store:
        """Return an obstore store of the lake's prefix, without retries of its own: they are ours.

        `checksums` sends one with each put, which a bucket with Object Lock demands and other servers refuse.
        """
        host = urlsplit(self.endpoint)
        virtual = not self._path_style and "." not in self.bucket
        client_options: dict[str, Any] = {
            "allow_http": host.scheme == "http",
            "connect_timeout": timedelta(seconds=5),
            **timeouts,
        }
        if host.scheme == "https":
            client_options["root_certificate"] = trust.pem(self._ca_bundle).encode()
        try:
            return self._obstore(virtual, host, checksums, client_options)
        except BaseError as error:
            said = re.search(r"Failed to parse [^\n]*", str(error))
            raise ConfigurationError(
                f"lake {self.name}: an AWS_… variable of this environment cannot be used"
                f"{f' ({said[0]})' if said else ''}: unset it"
            ) from None

    def _obstore(self, virtual: bool, host: SplitResult, checksums: bool, options: dict[str, Any]) -> S3Store:
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            endpoint=f"{host.scheme}://{self.bucket}.{host.netloc}" if virtual else self.endpoint,
            virtual_hosted_style_request=virtual,
            region=self.region,
            credential_provider=self._credential,  # type: ignore[arg-type]
            client_options=options,  # type: ignore[arg-type]
            retry_config={"max_retries": 0},
            # What is said here wins over obstore's own variables (AWS_CONDITIONAL_PUT, AWS_SKIP_SIGNATURE …).
            conditional_put="etag",
            skip_signature=False,
            s3_express=False,
            **(_CHECKSUMS if checksums else {}),
        )

    def full(self, key: str) -> str:
        """A key of the lake as the bucket knows it."""
        return f"{self.prefix}/{key}".removeprefix("/")

    def tag(self, e_tag: str | None) -> Tag:
        """The tag of an object as the server has named it."""
        if not e_tag:
            raise LakeError(
                f"lake {self.name}: the server at {self.endpoint} names no ETag, without which"
                " nothing can be replaced safely: use another"
            )
        return Tag(e_tag)

    def await_credentials(self) -> None:
        """A role's credentials may come some seconds after the process has started: they are waited for so long."""
        deadline = time.monotonic() + AWAIT_CREDENTIALS_SECONDS
        told = False
        while not self.has_credentials() and time.monotonic() < deadline:
            if not told:
                _LOG.warning(
                    "lake %s: no credentials yet; asking again for %.0f s",
                    self.name,
                    AWAIT_CREDENTIALS_SECONDS,
                )
                told = True
            time.sleep(0.5)

    def has_credentials(self) -> bool:
        """Return whether boto3's chain finds any now; asked again each time until it does."""
        if self._credentials is None:
            try:
                self._credentials = self._session.get_credentials()
            except BotoCoreError as error:
                self._faults.note_credentials(error)
        return self._credentials is not None

    def _credential(self) -> S3Credential:
        if not self.has_credentials():
            raise LakeError("no credentials")
        try:
            frozen = self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            self._faults.note_credentials(error)
            self._credentials = None  # whoever logs in again is seen by a new one
            raise LakeError("no credentials") from None
        return {
            "access_key_id": frozen.access_key or "",
            "secret_access_key": frozen.secret_key or "",
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + timedelta(seconds=_CREDENTIALS_SECONDS),
        }

    def fault(self, error: Exception) -> Fault:
        """Return what an exception of boto3 or obstore means."""
        return self._faults.of(error)
