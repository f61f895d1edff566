"""What the commands that only look at a lake were asked for, checked."""

import math
from typing import Final

from wgtwo_pipeline.ask.settings import Describing, Reading
from wgtwo_pipeline.audit.settings import Auditing
from wgtwo_pipeline.cli.build import lake_of
from wgtwo_pipeline.cli.command import Settings
from wgtwo_pipeline.report.settings import Reporting
from wgtwo_pipeline.watch.settings import Serving

_ADDRESS: Final = "127.0.0.1:9464"


def build_reading(settings: Settings) -> Reading:
    """What `query` and `status` were asked for; ConfigurationError names what cannot work."""
    sql = settings["sql"] if settings.command == "query" else None
    return Reading(
        lake=lake_of(settings),
        sql=sql,
        fresh=settings["fresh"],
        format=settings["format"],
        output=settings["output"],
        json=settings["json"],
        erases=settings["erase-every"] != math.inf,
        watch=settings["watch"],
        history_seconds=settings["history"],
    )


def build_describing(settings: Settings) -> Describing:
    """What `schema` was asked for; ConfigurationError names what cannot work."""
    return Describing(lake_of(settings), settings["table"], settings["format"], settings["partition-by"])


def build_auditing(settings: Settings) -> Auditing:
    """What `audit` was asked for; ConfigurationError names what cannot work."""
    return Auditing(
        *(lake_of(settings), settings["deep"], settings["json"], settings["erase-within"]),
        metrics_file=settings["metrics-file"],
    )


def build_serving(settings: Settings) -> Serving:
    """What `serve` was asked for; ConfigurationError names what cannot work."""
    return Serving(
        lake=lake_of(settings),
        address=settings["metrics-address"] or _ADDRESS,
        history_seconds=settings["history"],
        erases=settings["erase-every"] != math.inf,
    )


def build_reporting(settings: Settings) -> Reporting:
    """What `report` was asked for; ConfigurationError names what cannot work."""
    return Reporting(lake_of(settings), settings["output"], settings["since"])
