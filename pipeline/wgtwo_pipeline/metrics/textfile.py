"""Figures of a job that ends, as a file that node exporter's textfile collector reads."""

import contextlib
import os
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.machine import at_home
from wgtwo_pipeline.metrics.samples import Samples, build_info, written
from wgtwo_pipeline.metrics.table import BY_NAME, PREFIX

_OF_THIS_RUN: Final = "build_info"


def check(file: str | None) -> None:
    """Refuses a file that cannot be written, before the work begins. ConfigurationError names the fix."""
    if file is not None and not os.access(at_home(file).absolute().parent, os.W_OK):
        raise ConfigurationError(
            f"--metrics-file {file} cannot be written: name a file in a folder that exists and is writable"
        )


def write(file: str | None, samples: Samples) -> None:
    """Replaces the file as a whole: who reads it meanwhile sees the old one. Does nothing without a file.

    Counts go on from those in the file; a value that this run has none of, such as when the work last succeeded,
    stays as it was. The collector takes only names that end with `.prom`, so the half-written one is never read.
    ConfigurationError where it cannot be written.
    """
    if file is None:
        return
    path = at_home(file)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _go_on(path, samples)
        build_info(samples)
        part.write_bytes(written(samples)[0])
        part.chmod(0o644)  # another user's exporter reads it
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise ConfigurationError(
            f"--metrics-file {file} cannot be written: {error.strerror or error}; the work itself is done"
        ) from None


def _go_on(path: Path, samples: Samples) -> None:
    """Adds what the file says; nothing where it is no file of ours."""
    try:
        families = list(text_string_to_metric_families(path.read_text()))
    except (FileNotFoundError, ValueError):
        return
    for sample in (sample for family in families for sample in family.samples):
        metric = BY_NAME.get(sample.name.removeprefix(PREFIX))
        if metric is None or metric.name == _OF_THIS_RUN or set(sample.labels) != set(metric.labels):
            continue
        if metric.kind == "counter" or samples.get(metric.name, **sample.labels) is None:
            samples.add(metric.name, sample.value, **sample.labels)
