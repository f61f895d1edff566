"""A transform that subscribes to wgtwo's events and reads them from the lake: journal first, ack, then the graph.

An ack never waits for the user's graph, and what the graph has not committed is in the lake, not with a service that
keeps it for half an hour: the runner's state holds a position in a log.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import apache_beam as beam

from wgtwo_pipeline.cli.build import build
from wgtwo_pipeline.cli.command import Settings
from wgtwo_pipeline.cli.main import program
from wgtwo_pipeline.cli.types import format_duration
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.run import jobs
from wgtwo_pipeline.run.config import Config
from wgtwo_pipeline.source import settings
from wgtwo_pipeline.source.read_journal import follow
from wgtwo_pipeline.source.settings import ALLOWED_LAG_SECONDS, JournalSource, JournalStart

_CLOCKS: Final = timedelta(minutes=1)
"""By so much a worker's clock may be behind that of who starts the job."""


class ReadFromWgtwoEvents(beam.PTransform):
    """Subscribes to wgtwo's events, journals and acks them, and emits what is journaled as `WgtwoDelivery`.

    An event is acked when it is durable in the lake, whatever the graph does. From there each is emitted at least
    once, a moment after it was received: see `ReadFromWgtwoJournal`. Of the lake's journal it emits only what this
    subscription receives. When `publish` makes tables of it makes no difference; something has to, or the journal
    grows.

    `endpoint`: HOST:PORT of the service. `lake`, `s3_endpoint`, `s3_region`: as in the other transforms; a folder is
    created. `types`: tables, such as `["sms", "voice"]`, or "all"; consent revocations are always added. `api`: "v0"
    or "v1". `queue_name`, `durable_name`, `subscriptions` (members of the queue, each a branch of the graph),
    `max_in_flight` (events of one member), `ack_timeout` (seconds), `linger` (seconds), `history` (seconds), `start`
    (where to begin if the service holds no position), `plaintext`, `ca_file`, `token_url`, `client_id`,
    `client_secret_file` (read by each worker; else CLIENT_SECRET in its environment), `scope`: as the command line's
    options of these names, with the same defaults, variables and refusals.
    `journal_start`: where to begin in the journal if the runner holds no position: "new" (default) with what is
    received from the making of the graph on, a minute's difference of clocks allowed for; "oldest"; or a datetime.
    `poll_interval`, `allowed_lag`: as in `ReadFromWgtwoJournal`.

    On the in-process runner branches take turns of some seconds: use Prism, Flink or another one for more than a try.

    Raises ConfigurationError for what cannot work; workers raise LakeError and ServiceError.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        lake: str | os.PathLike[str],
        types: str | Sequence[str] = "all",
        api: str = "v0",
        queue_name: str | None = None,
        durable_name: str | None = None,
        subscriptions: int = 1,
        max_in_flight: int = 50,
        ack_timeout: float = 30.0,
        linger: float = 0.2,
        history: float | None = None,
        start: str = "oldest",
        plaintext: bool = False,
        ca_file: str | os.PathLike[str] | None = None,
        token_url: str | None = None,
        client_id: str | None = None,
        client_secret_file: str | os.PathLike[str] | None = None,
        scope: str | None = None,
        journal_start: JournalStart | str = "new",
        poll_interval: float = 1.0,
        allowed_lag: float = ALLOWED_LAG_SECONDS,
        s3_endpoint: str | None = None,
        s3_region: str | None = None,
    ) -> None:
        super().__init__()
        journal_start = settings.start(journal_start, epochs=False, name="journal_start")
        location = settings.lake(lake, s3_endpoint, s3_region)
        self.config = _config(
            {
                "endpoint": endpoint,
                "plaintext": plaintext or None,
                "lake": location.url,
                "s3-endpoint": s3_endpoint,
                "s3-region": s3_region,
                "types": types if isinstance(types, str) else ",".join(types),
                "api": api,
                "queue-name": queue_name,
                "durable-name": durable_name,
                "subscriptions": subscriptions,
                "max-in-flight": max_in_flight,
                "ack-timeout": _duration("ack_timeout", ack_timeout),
                "linger": _duration("linger", linger),
                "history": None if history is None else _duration("history", history),
                "start": start,
                "ca-file": ca_file,
                "token-url": token_url,
                "client-id": client_id,
                "client-secret-file": client_secret_file,
                "scope": scope,
            }
        )
        self._journal_start = journal_start
        self.journal = JournalSource(
            lake=location,
            start=datetime.now(UTC) - _CLOCKS if journal_start == "new" else journal_start,
            poll_seconds=settings.seconds("poll_interval", poll_interval, positive=True),
            allowed_lag_seconds=settings.seconds("allowed_lag", allowed_lag, positive=False),
            subscriptions=tuple(sorted({member.subscription for member in jobs.members(self.config)})),
            creates=True,
        )

    def expand(self, root: Any) -> Any:
        """Of a pipeline: the two flows, side by side. They meet only in the lake."""
        assert self.config.service is not None
        jobs.branches(root, self.config, self.config.service)
        return follow(root, self.journal)

    def display_data(self) -> dict[str, Any]:
        """What a runner shows of it; no secret."""
        assert self.config.service is not None
        subscription = self.config.subscription
        return {
            "endpoint": self.config.service.target,
            "lake": self.journal.lake.url,
            "api": subscription.api,
            "types": ", ".join(subscription.types),
            "queue_name": subscription.queue_name,
            "durable_name": subscription.durable_name,
            "subscriptions": subscription.members,
            "max_in_flight": subscription.max_in_flight,
            "ack_timeout": subscription.ack_timeout_seconds,
            "journal_start": str(self._journal_start),
            "poll_interval": self.journal.poll_seconds,
            "allowed_lag": self.journal.allowed_lag_seconds,
        }


def _config(options: dict[str, Any]) -> Config:
    """What the command line makes of the same options: its checks, its defaults, its sentences."""
    words = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in options.items()
        if value is not None
    ]
    try:
        return build(Settings(program.commands["ingest"].make_context("ingest", words)))
    except ConfigurationError as error:
        raise ConfigurationError(settings.as_arguments(str(error))) from None


def _duration(name: str, seconds: float) -> str:
    return format_duration(settings.seconds(name, seconds, positive=True))
