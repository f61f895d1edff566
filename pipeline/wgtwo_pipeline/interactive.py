"""The lake from Python: in a notebook, a script or a test. What `query`, `status` and `audit` do, as functions.

`from wgtwo_pipeline import Lake` is how it is imported. It reads only, and needs no Beam.
"""

from datetime import timedelta
from typing import Any

import pyarrow as pa

from wgtwo_pipeline import extras
from wgtwo_pipeline.ask import status
from wgtwo_pipeline.audit import audit
from wgtwo_pipeline.lake import positions
from wgtwo_pipeline.lake.open import open_to_read
from wgtwo_pipeline.lake.store import LakeLocation

__all__ = ["Lake"]


class Lake:
    """A lake that is there: a folder or `s3://bucket/prefix`. Nothing of it is changed, and no connection is kept.

    `s3_endpoint` is for S3-compatible servers, `s3_region` overrides boto3's choice; credentials are found by boto3's
    usual chain. Each method blocks, looks anew, and may be called from several threads. All raise PipelineError
    (`wgtwo_pipeline.errors`) with the command's sentence; LakeError where the same call may succeed later.
    """

    def __init__(
        self, url: str = "./lake", *, s3_endpoint: str | None = None, s3_region: str | None = None
    ) -> None:
        location = LakeLocation(str(url), s3_endpoint, s3_region)
        self._location = open_to_read(location).location  # stays where it is when the working folder changes

    def __repr__(self) -> str:
        return f"Lake({self._location.url!r})"

    def sql(self, query: str, *, fresh: bool = False) -> pa.Table:
        """The whole answer to one statement that reads, as `wgtwo-pipeline query` gives it: `.to_pandas()` and so on.

        There is a view for each table, `events`, `quarantine` and `journal`; `fresh` includes what is journaled and
        not yet published. It is of one moment, each event once, also when an erasure replaces files meanwhile. The
        answer is held in memory; DuckDB computes it within its own limits. An interrupt ends it.
        """
        extras.require("query")
        from wgtwo_pipeline.ask.query import whole_answer  # brings DuckDB, an extra

        return whole_answer(open_to_read(self._location), query, fresh=fresh)

    def status(self) -> dict[str, Any]:
        """What the lake holds, as `status --json` prints it: keys stay, times are ISO 8601 in UTC.

        No table file is opened.
        """
        return status.to_json(status.collect(open_to_read(self._location)))

    def audit(self, *, deep: bool = False, erase_within: timedelta = audit.ERASE_WITHIN) -> dict[str, Any]:
        """The proof, as `audit --json` prints it: `["passed"]` is the verdict, `["found"]` what is wrong.

        `deep` reads every file and every copy whole, as `audit --deep` does, and takes as long; else footers and
        sizes are compared. A request to erase that is open for longer than `erase_within` is among what is found.
        """
        if deep:
            extras.require("query")
        store = open_to_read(self._location)
        findings, ledger = audit.examine(store, deep=deep, erase_within=erase_within)
        return audit.to_json(store, findings, ledger, tuple(positions.gaps(store)))
