"""What Beam's runners need and cannot do: refused here, before one downloads a program or fails in its own words."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from wgtwo_pipeline.errors import ConfigurationError

_STREAMS: Final = ("run", "ingest")
_JOB_SERVERS: Final = {
    "FlinkRunner": "flink_job_server_jar",
    "KafkaStreamsRunner": "kafka_streams_job_server_jar",
    "SparkRunner": "spark_job_server_jar",
}
_DATAFLOW: Final = ("project", "region", "temp_location")


def check(command: str, runner: str, chosen: Mapping[str, Any]) -> None:
    """ConfigurationError with the fix for a runner that cannot do the command as it is set up.

    `chosen` are Beam's options by name. No runner ever downloads anything.
    """
    if runner == "SparkRunner" and command in _STREAMS:
        raise ConfigurationError(
            f"--runner=SparkRunner executes no splittable DoFn, which the event source is: {command} on FlinkRunner, "
            "or here without --runner, and only publish on Spark"
        )
    if runner == "PortableRunner" and not chosen.get("job_endpoint"):
        raise ConfigurationError("--runner=PortableRunner needs --job_endpoint=HOST:PORT of a job server")
    jar = _JOB_SERVERS.get(runner)
    if jar and not chosen.get("job_endpoint") and not chosen.get(jar):
        raise ConfigurationError(
            f"--runner={runner} would download Beam's job server: name its jar with --{jar}=FILE, or one that runs "
            "already with --job_endpoint=HOST:PORT"
        )
    if jar and not chosen.get("job_endpoint"):
        _check_is_here(jar, chosen[jar])
    if runner == "PrismRunner":
        if not chosen.get("prism_location"):
            raise ConfigurationError(
                "--runner=PrismRunner would download Prism: name its program with --prism_location=FILE"
            )
        _check_is_here("prism_location", chosen["prism_location"])
    if runner == "DataflowRunner":
        _check_dataflow(chosen)


def _check_is_here(option: str, file: str) -> None:
    """Beam takes an address, too, and would download what is there."""
    if not Path(file).is_file():
        raise ConfigurationError(
            f"--{option}={file} is no file on this machine, and nothing is downloaded: name one"
        )


def _check_dataflow(chosen: Mapping[str, Any]) -> None:
    missing = [f"--{name}=…" for name in _DATAFLOW if not chosen.get(name)]
    if missing:
        raise ConfigurationError(
            f"--runner=DataflowRunner needs {', '.join(missing)}, too (and a lake that its workers reach)"
        )
    if importlib.util.find_spec("apitools") is None:
        raise ConfigurationError(
            '--runner=DataflowRunner needs Google\'s packages: pip install "apache-beam[gcp]"'
        )
