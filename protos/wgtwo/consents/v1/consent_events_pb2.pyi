from wgtwo.common.v1 import phonenumber_pb2 as _phonenumber_pb2
from wgtwo.events.v1 import events_pb2 as _events_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamConsentChangeEventsRequest(_message.Message):
    __slots__ = ("stream_configuration",)
    STREAM_CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    stream_configuration: _events_pb2.StreamConfiguration
    def __init__(self, stream_configuration: _Optional[_Union[_events_pb2.StreamConfiguration, _Mapping]] = ...) -> None: ...

class StreamConsentChangeEventsResponse(_message.Message):
    __slots__ = ("metadata", "consent_change_event")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CONSENT_CHANGE_EVENT_FIELD_NUMBER: _ClassVar[int]
    metadata: _events_pb2.Metadata
    consent_change_event: ConsentChangeEvent
    def __init__(self, metadata: _Optional[_Union[_events_pb2.Metadata, _Mapping]] = ..., consent_change_event: _Optional[_Union[ConsentChangeEvent, _Mapping]] = ...) -> None: ...

class AckConsentChangeEventRequest(_message.Message):
    __slots__ = ("ack_info",)
    ACK_INFO_FIELD_NUMBER: _ClassVar[int]
    ack_info: _events_pb2.AckInfo
    def __init__(self, ack_info: _Optional[_Union[_events_pb2.AckInfo, _Mapping]] = ...) -> None: ...

class AckConsentChangeEventResponse(_message.Message):
    __slots__ = ("ack_status",)
    ACK_STATUS_FIELD_NUMBER: _ClassVar[int]
    ack_status: _events_pb2.AckStatus
    def __init__(self, ack_status: _Optional[_Union[_events_pb2.AckStatus, _Mapping]] = ...) -> None: ...

class ConsentChangeEvent(_message.Message):
    __slots__ = ("added", "updated", "revoked", "number", "tenant")
    ADDED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    added: ConsentAdded
    updated: ConsentUpdated
    revoked: ConsentRevoked
    number: _phonenumber_pb2.E164
    tenant: str
    def __init__(self, added: _Optional[_Union[ConsentAdded, _Mapping]] = ..., updated: _Optional[_Union[ConsentUpdated, _Mapping]] = ..., revoked: _Optional[_Union[ConsentRevoked, _Mapping]] = ..., number: _Optional[_Union[_phonenumber_pb2.E164, _Mapping]] = ..., tenant: _Optional[str] = ...) -> None: ...

class ConsentAdded(_message.Message):
    __slots__ = ("scopes",)
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    scopes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scopes: _Optional[_Iterable[str]] = ...) -> None: ...

class ConsentUpdated(_message.Message):
    __slots__ = ("scopes",)
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    scopes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scopes: _Optional[_Iterable[str]] = ...) -> None: ...

class ConsentRevoked(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
