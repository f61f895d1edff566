"""The command `report`: one page of a lake, with plots, that stands alone."""

import sys

from wgtwo_pipeline import extras
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.lake.open import open_to_read
from wgtwo_pipeline.machine import whole_file
from wgtwo_pipeline.report.settings import Reporting


def report(reporting: Reporting) -> int:
    """Writes the page in place of an older one, once it is whole; 0 whatever the audit says, which is on the page.

    Changes nothing in the lake. Blocks. Raises PipelineError; a file that cannot be written is refused first.
    """
    extras.require("query", "report")
    from wgtwo_pipeline.report.found import look  # brings DuckDB, an extra
    from wgtwo_pipeline.report.page import page  # brings matplotlib, an extra

    store = open_to_read(reporting.lake)
    try:
        with whole_file(reporting.output) as file:
            found = look(store, reporting.since_seconds)
            file.write(page(found))
    except OSError as error:
        raise ConfigurationError(
            f"--output {reporting.output} cannot be written ({error.strerror or error}): "
            "name a file in a folder that exists and is writable"
        ) from error
    rows = sum(count for _, _, count in found.answers.rows["events"])
    verdict = (
        f"the audit FAILED with {found.audit.total:,} findings" if found.audit.total else "the audit passed"
    )
    sys.stdout.write(f"{reporting.output} shows {rows:,} events of {found.period}; {verdict}\n")
    return 0
