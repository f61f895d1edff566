"""Whose an event is: by one rule over the descriptors, not by a list of tables.

An event is its owner's, if it names one (`owner_phone_number`, v0). Else it belongs to the side that its
`direction` names, or to every side that it has: a field with a phone number is a side (`number`, `from_number`), the
members of a oneof are one (`from_address`). An event without a side (`token_audit`) is nobody's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

from wgtwo_pipeline.events.api import CONSENT_TABLES
from wgtwo_pipeline.events.descriptors import Response, responses
from wgtwo_pipeline.events.numbers import Kind
from wgtwo_pipeline.events.tables import Column, Table, catalog

KINDS: Final[Mapping[str, Kind]] = {
    "wgtwo.common.v0.PhoneNumber": "international",
    "wgtwo.common.v0.NationalPhoneNumber": "national",
    "wgtwo.common.v0.TextAddress": "text",
    "wgtwo.common.v1.E164": "international",
    "wgtwo.common.v1.National": "national",
    "wgtwo.common.v1.Alphanumeric": "text",
}
"""The messages that hold a phone number, and how they write it. Source: the wire contract, `wgtwo/common`."""

_OWNER = "owner_phone_number"


@dataclass(frozen=True)
class Whose:
    """Where a table says whose an event is. `numbers`: every column that holds one, and how it is written."""

    numbers: Mapping[str, Kind] = field(default_factory=dict)
    owner: str | None = None
    sides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The number columns of each side."""
    direction: str | None = None
    directions: Mapping[str, str] = field(default_factory=dict)
    """The side that a value of the column `direction` names."""
    texts: tuple[str, ...] = ()
    """The columns of other text or bytes, which may mention a number. None on v1, where nobody writes texts, and
    an event's identity is made of all that it says."""
    of_consents: bool = False
    """Whether its events are consents and their revocations."""
    payload: str | None = None
    """Of the quarantine: the column with the bytes as received."""


QUARANTINED: Final = Whose(payload="payload")


@lru_cache(maxsize=16)
def owners(descriptors: bytes) -> Mapping[str, Whose]:
    """By the name of each table of `descriptors` (a serialized FileDescriptorSet), whose its events are."""
    streams = responses(descriptors)
    return {
        name: _whose(table, streams[table.api, table.method]) for name, table in catalog(descriptors).items()
    }


def _whose(table: Table, response: Response) -> Whose:
    numbers: dict[str, Kind] = {}
    sides: dict[str, tuple[str, ...]] = {}
    texts = []
    own = (*response.event_path, table.event_field)
    for column in table.columns:
        fields = list(_fields(response, column.path))
        kind = KINDS.get(fields[-1].containing_type.full_name)
        if kind is not None:
            numbers[column.name] = kind
            if column.path[: len(own)] == own:
                first = fields[len(own)]
                group = first.containing_oneof.name if first.containing_oneof else first.name
                side = group.strip("_").partition("_")[0]
                sides[side] = (*sides.get(side, ()), column.name)
        is_text = pa.types.is_string(column.type) or pa.types.is_binary(column.type)
        if is_text and column.names is None and kind in (None, "text"):
            texts.append(column.name)
    direction = next((c for c in table.columns if sides and set(_named(c, sides).values()) == {*sides}), None)
    return Whose(
        numbers=numbers,
        owner=_OWNER if _OWNER in numbers else None,
        sides=sides,
        direction=direction.name if direction else None,
        directions=_named(direction, sides) if direction else {},
        texts=tuple(texts) if table.api == "v0" else (),
        of_consents=table.name in CONSENT_TABLES.values(),
    )


def _named(column: Column, sides: Mapping[str, Any]) -> Mapping[str, str]:
    """The sides that an enum's values name, such as `FROM_SUBSCRIBER`."""
    named = {value: value.partition("_")[0].lower() for value in (column.names or {}).values()}
    return {value: side for value, side in named.items() if side in sides}


def _fields(response: Response, path: tuple[str, ...]) -> Iterator[Any]:
    message = response.descriptor
    for name in path:
        found = message.fields_by_name[name]
        yield found
        message = found.message_type
