"""The API's descriptors: those of this version, and the plain form that publishing decodes with.

An epoch is decoded with the descriptors sealed with it, so everything here is derived from their bytes and
held in private descriptor pools; the generated stubs serve only `current_descriptors`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from wgtwo.consents.v1 import consent_events_pb2
from wgtwo.events.v0 import events_pb2
from wgtwo.subscription.v1 import subscription_events_pb2

V0_RESPONSE = "wgtwo.events.v0.SubscribeEventsResponse"
V0_METADATA = "wgtwo.events.v0.EventMetadata"
V1_METADATA = "wgtwo.events.v1.Metadata"

# What a row or an identity needs of the envelope. The rest, above all `ack_inbox` and `ack_info`, concerns the
# delivery and not the event: leaving it out makes decoding a quarter faster and is harmless (unknown fields).
_KEPT = {V0_METADATA: ("sequence",), V1_METADATA: ("timestamp", "identifier")}

# Under their own names ptars gives well-known types a special meaning (it clamps timestamps and accepts nanos
# that are out of range); under another they are messages like any other.
_WELL_KNOWN, _PLAIN = "google.protobuf", "plain"
TIMESTAMP = f"{_PLAIN}.Timestamp"


@dataclass(frozen=True)
class Response:
    """One stream's response message in plain form.

    `message` checks UTF-8 as proto3 demands; `lax`, with bytes for strings, accepts the same wire without it.
    """

    api: str
    method: str
    message: type[Message]
    lax: type[Message]

    @property
    def descriptor(self) -> Any:
        """The descriptor of `message`."""
        return self.message.DESCRIPTOR

    @property
    def event_path(self) -> tuple[str, ...]:
        """Where `events` stands in the response."""
        return ("event",) if self.api == "v0" else ()

    @property
    def events(self) -> Any:
        """The descriptor of what holds the event members: v0's `Event`, v1's response itself."""
        return self.descriptor.fields_by_name["event"].message_type if self.api == "v0" else self.descriptor

    @property
    def members(self) -> list[FieldDescriptor]:
        """The fields of which an event sets one, by number; each becomes a table."""
        if self.api == "v0":
            return _by_number(self.events.oneofs_by_name["event"].fields)
        return [f for f in _by_number(self.events.fields) if f.message_type and f.name != "metadata"][:1]

    @property
    def envelope(self) -> list[FieldDescriptor]:
        """What else an event of any kind can set, by number, except its metadata and time."""
        known = {"metadata", "timestamp", *(member.name for member in self.members)}
        return [f for f in _by_number(self.events.fields) if f.name not in known]


@lru_cache(maxsize=1)
def current_descriptors() -> bytes:
    """The descriptors of this version's stubs, v0 and v1: a serialized FileDescriptorSet, dependencies first.

    The same version always gives the same bytes.
    """
    files: dict[str, FileDescriptorProto] = {}
    for module in (events_pb2, subscription_events_pb2, consent_events_pb2):
        for file in _with_dependencies(module.DESCRIPTOR):
            if file.name not in files:
                file.CopyToProto(files.setdefault(file.name, FileDescriptorProto()))
    return FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


@lru_cache(maxsize=8)
def responses(descriptors: bytes) -> Mapping[tuple[str, str], Response]:
    """Every event stream of `descriptors` by (api, method): v0's `Subscribe`, and v1's streams.

    A v1 stream is a server-streaming method whose response has v1 metadata.
    """
    files = FileDescriptorSet.FromString(descriptors)
    strict, lax = _pool(files), _pool(files, strings_as_bytes=True)
    streams = [("v0", "Subscribe", V0_RESPONSE)]
    for file in files.file:
        for service in file.service:
            for method in service.method:
                name = method.output_type.removeprefix(".")
                if method.server_streaming and _has_v1_metadata(strict.FindMessageTypeByName(name)):
                    streams.append(("v1", method.name, name))
    return {
        (api, method): Response(
            api,
            method,
            GetMessageClass(strict.FindMessageTypeByName(name)),
            GetMessageClass(lax.FindMessageTypeByName(name)),
        )
        for api, method, name in streams
    }


@lru_cache(maxsize=64)
def only(response: Response, member: str | None) -> Any:
    """The descriptor of a response whose events know this member and no other; with None, all."""
    if member is None:
        return response.descriptor
    pool = DescriptorPool()
    for file in _with_dependencies(response.descriptor.file):
        copy = FileDescriptorProto()
        file.CopyToProto(copy)
        for name, message in _messages(f".{copy.package}", copy.message_type):
            if name == f".{response.events.full_name}":
                others = {each.name for each in response.members} - {member}
                kept = [field for field in message.field if field.name not in others]
                del message.field[:]
                message.field.extend(kept)
        pool.Add(copy)
    return pool.FindMessageTypeByName(response.descriptor.full_name)


def _has_v1_metadata(response: Any) -> bool:
    metadata = response.fields_by_name.get("metadata")
    return bool(metadata and metadata.message_type and metadata.message_type.full_name == V1_METADATA)


def _by_number(fields: Iterable[FieldDescriptor]) -> list[FieldDescriptor]:
    return sorted(fields, key=lambda field: field.number)


def _with_dependencies(file: FileDescriptor) -> Iterator[FileDescriptor]:
    for dependency in file.dependencies:
        yield from _with_dependencies(dependency)
    yield file


def _pool(files: FileDescriptorSet, *, strings_as_bytes: bool = False) -> DescriptorPool:
    reach = _reach(files)
    pool = DescriptorPool()
    for file in files.file:
        plain = FileDescriptorProto()
        plain.CopyFrom(file)
        plain.ClearField("service")
        if plain.package == _WELL_KNOWN:
            plain.package = _PLAIN
        for name, message in _messages(f".{file.package}", plain.message_type):
            kept = _KEPT.get(name.removeprefix("."))
            for field in list(message.field):
                if kept and field.name not in kept:
                    message.field.remove(field)
                elif _is_opaque(field, name, reach):
                    field.type = FieldDescriptorProto.TYPE_BYTES
                    field.ClearField("type_name")
                elif strings_as_bytes and field.type == FieldDescriptorProto.TYPE_STRING:
                    field.type = FieldDescriptorProto.TYPE_BYTES
                elif field.type_name.startswith(f".{_WELL_KNOWN}."):
                    field.type_name = field.type_name.replace(_WELL_KNOWN, _PLAIN, 1)
        pool.Add(plain)
    return pool


def _is_opaque(field: FieldDescriptorProto, holder: str, reach: Mapping[str, set[str]]) -> bool:
    """Whether the field has no flat form and is kept as the bytes of its messages: a list, a map, a recursion."""
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    recursive = field.type_name == holder or holder in reach.get(field.type_name, ())
    return field.type == FieldDescriptorProto.TYPE_MESSAGE and (repeated or recursive)


def _messages(scope: str, messages: Iterable[DescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    for message in messages:
        name = f"{scope}.{message.name}"
        yield name, message
        yield from _messages(name, message.nested_type)


def _reach(files: FileDescriptorSet) -> Mapping[str, set[str]]:
    """By message, those that it can contain at any depth through fields that are not repeated."""
    reach: dict[str, set[str]] = {
        name: {
            f.type_name
            for f in message.field
            if f.type == FieldDescriptorProto.TYPE_MESSAGE and f.label != FieldDescriptorProto.LABEL_REPEATED
        }
        for file in files.file
        for name, message in _messages(f".{file.package}", file.message_type)
    }
    grown = True
    while grown:
        grown = False
        for name, contained in reach.items():
            reach[name] = contained.union(*(reach.get(inner, ()) for inner in contained))
            grown |= reach[name] != contained
    return reach
