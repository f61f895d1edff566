"""The command `check`: configuration, lake, event service, versions, cluster, one after the other."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from wgtwo_pipeline import extras
from wgtwo_pipeline.check import cluster, connection, storage
from wgtwo_pipeline.check.findings import Finding, tried
from wgtwo_pipeline.check.settings import Checking
from wgtwo_pipeline.lake.manifest import iso
from wgtwo_pipeline.run.config import Config


def check(checking: Checking) -> int:
    """Prints a line as soon as it is known, or one JSON object; 1 if anything failed, else 0. A minute at most."""
    found = []
    for finding in examine(checking):
        found.append(finding)
        if not checking.json:
            sys.stdout.write(f"{finding}\n")
            sys.stdout.flush()
    failed = [finding for finding in found if finding.passed is False]
    if checking.json:
        document = {
            "passed": not failed,
            "at": iso(datetime.now(UTC)),
            "checks": [finding.to_json() for finding in found],
        }
        sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return 1 if failed else 0


def examine(checking: Checking) -> Iterator[Finding]:
    """What is found out, in the order in which a run would meet it; what rests on a failure is not tried."""
    config = checking.config
    yield Finding("configuration", True, _configuration(config))
    yield tried("packages", lambda: _packages(config))
    yield from cluster.runner(config)
    if checking.offline:
        return
    yield from storage.examine(config.lake, erases=config.erasing.every_seconds is not None)
    yield from connection.examine(config)
    yield from cluster.examine(config)


def _configuration(config: Config) -> str:
    subscription = config.subscription
    source = config.service.target if config.service else "a sandbox inside (no --endpoint)"
    types = len(subscription.types)
    return (
        f"from {source}, API {subscription.api}, {types} {'type' if types == 1 else 'types'}, "
        f"{subscription.members} {'member' if subscription.members == 1 else 'members'}, into {config.lake.url}"
    )


def _packages(config: Config) -> str:
    needed = [] if config.service else ["sandbox", "query"]
    needed += ["iceberg"] if config.catalog else []
    extras.require(*needed)
    return "what this configuration needs is installed"
