"""wgtwo's events as a source in Beam pipelines: the only module that their users import.

`ReadFromWgtwoLake` gives the rows of a table once it is published, `ReadFromWgtwoJournal` the deliveries themselves a
moment after they were received, `ReadFromWgtwoEvents` subscribes as well. The row types are in `wgtwo_pipeline.rows`.
"""

from wgtwo_pipeline.source.decode_events import DecodeWgtwoEvents
from wgtwo_pipeline.source.deliveries import WgtwoDelivery
from wgtwo_pipeline.source.read_events import ReadFromWgtwoEvents
from wgtwo_pipeline.source.read_journal import ReadFromWgtwoJournal
from wgtwo_pipeline.source.read_lake import ReadBatchesFromWgtwoLake, ReadFromWgtwoLake

__all__ = [
    "DecodeWgtwoEvents",
    "ReadBatchesFromWgtwoLake",
    "ReadFromWgtwoEvents",
    "ReadFromWgtwoJournal",
    "ReadFromWgtwoLake",
    "WgtwoDelivery",
]
