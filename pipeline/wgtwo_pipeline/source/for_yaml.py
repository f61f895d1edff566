"""What Beam YAML needs otherwise than Python: a transform with several outputs gives it a dictionary."""

from typing import Any

from wgtwo_pipeline.source import decode_events


class DecodeWgtwoEvents(decode_events.DecodeWgtwoEvents):
    """Decodes `WgtwoDelivery`s to the rows of one table: outputs `rows` and `quarantine`."""

    def expand(self, deliveries: Any) -> dict[str, Any]:
        """By the names that a file gives them, as in `Decode.rows`."""
        found = super().expand(deliveries)
        return {"rows": found.rows, "quarantine": found.quarantine}
