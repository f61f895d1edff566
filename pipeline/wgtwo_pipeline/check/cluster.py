"""What runs the flows: versions of Python and Beam; of a cluster Flink, its job server and its workers."""

import importlib.metadata
import platform
import re
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wgtwo_pipeline.check.findings import Finding, not_tried, tried
from wgtwo_pipeline.errors import ConfigurationError, JobError
from wgtwo_pipeline.run import cluster, runners
from wgtwo_pipeline.run.config import Config
from wgtwo_pipeline.service.settings import is_loopback, split_address

TRIED_FLINK: Final = "1.19"
"""The version that the tests run on."""
_SECONDS: Final = 5.0
_STATE_GROWS_BEFORE: Final = (2, 76)
"""Beam's version: https://github.com/apache/beam/issues/27648."""
_JAR: Final = re.compile(r"flink-(?:job-server-)?(\d+\.\d+)-")


def runner(config: Config) -> Iterator[Finding]:
    """Which versions these are, and whether the runner can do what it is asked for; asks nobody."""
    yield Finding("versions", True, _versions())
    yield tried("runner", lambda: _runner(config))


def examine(config: Config) -> Iterator[Finding]:
    """What a cluster's parts answer; nothing where the flows run here."""
    if not cluster.is_remote(config):
        return
    from wgtwo_pipeline.run import jobs

    chosen = jobs.chosen(config, streaming=True).get_all_options()
    master = jobs.flink_master(config)
    if master is None:
        yield not_tried(
            "Flink", "name --flink_master=HOST:PORT to have it looked at, and a stopped job cancelled"
        )
    else:
        yield tried("Flink", lambda: _flink(master, str(chosen.get("flink_job_server_jar") or "")))
    if chosen.get("job_endpoint"):
        yield tried("job server", lambda: _job_server(str(chosen["job_endpoint"])))
    elif chosen.get("flink_job_server_jar"):
        yield tried("job server", lambda: _job_server_jar(Path(chosen["flink_job_server_jar"])))
    if str(chosen.get("environment_type")) == "EXTERNAL":
        yield _worker_pool(str(chosen.get("environment_config")), master)


def _versions() -> str:
    named = [f"{name} {importlib.metadata.version(name)}" for name in ("wgtwo-pipeline", "apache-beam")]
    return ", ".join([*named, f"Python {platform.python_version()}"])


def _runner(config: Config) -> str:
    from wgtwo_pipeline.run import jobs

    chosen = jobs.chosen(config, streaming=False).get_all_options()
    name = str(chosen["runner"])
    runners.check("ingest", name, chosen)
    if not cluster.is_remote(config):
        return "on this machine"
    if config.service is None:
        raise ConfigurationError(
            f"--runner={name} needs --endpoint HOST:PORT: no worker would reach a sandbox in here"
        )
    if "://" not in config.lake.url:
        return f"{name}; every worker must see the lake {config.lake.url} as the same folder"
    return name


def _flink(master: str, jar: str) -> str:
    version = cluster.Flink(master).version()
    minor = ".".join(version.split(".")[:2])
    made_for = _JAR.search(Path(jar).name)
    if made_for and made_for[1] != minor:
        raise JobError(
            f"Flink at {master} is {version} and {Path(jar).name} is for {made_for[1]}: "
            f"take the job server for {minor}"
        )
    return f"{version} at {master}" + ("" if minor == TRIED_FLINK else f"; tried with {TRIED_FLINK}")


def _job_server(endpoint: str) -> str:
    import grpc  # takes its time to be imported
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
        try:
            stub.DescribePipelineOptions(beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=_SECONDS)
        except grpc.RpcError as error:
            raise JobError(
                f"no job server answers at {endpoint} ({error.code().name}): start it, or check --job_endpoint"
            ) from None
    return f"{endpoint} answers"


def _job_server_jar(jar: Path) -> str:
    """Its version is in it, whatever it is called; one that runs already tells its version to nobody."""
    try:
        with zipfile.ZipFile(jar) as members:
            properties = members.read("org/apache/beam/sdk/sdk.properties").decode()
        version = re.search(r"^version=((\d+)\.(\d+)\S*)", properties, re.MULTILINE)
    except (OSError, zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        version = None
    if version is None:
        raise JobError(f"{jar} is no job server of Beam's: name its jar with --flink_job_server_jar=FILE")
    says = f"{jar.name} is of Beam {version[1]}"
    if (int(version[2]), int(version[3])) < _STATE_GROWS_BEFORE:
        says += ", in which the state of a job grows for ever: take 2.76 or newer, best the SDK's own version"
    return says


def _worker_pool(address: str, master: str | None) -> Finding:
    name = "worker pool"
    try:
        host, port = split_address(address)
    except ValueError as error:
        return Finding(name, False, f"--environment_config {address} {error}")
    flink_is_here = master is None or is_loopback(urlsplit(master).hostname or "")
    if is_loopback(host) and not flink_is_here:
        return not_tried(name, f"{address} is beside each TaskManager, not here")

    def connect() -> str:
        try:
            socket.create_connection((host.strip("[]"), port or 0), _SECONDS).close()
        except OSError as error:
            raise JobError(
                f"nobody listens at {address} ({error.strerror or error}): start "
                "python -m apache_beam.runners.worker.worker_pool_main, or check --environment_config"
            ) from None
        return f"{address} listens"

    return tried(name, connect)
