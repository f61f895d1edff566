import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from wgtwo.common.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamConfiguration(_message.Message):
    __slots__ = ("regular", "durable_queue", "disable_explicit_ack", "custom_ack_timeout", "max_in_flight", "start_at_new", "start_at_id", "start_at_timestamp", "start_at_oldest_possible")
    REGULAR_FIELD_NUMBER: _ClassVar[int]
    DURABLE_QUEUE_FIELD_NUMBER: _ClassVar[int]
    DISABLE_EXPLICIT_ACK_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_ACK_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    START_AT_NEW_FIELD_NUMBER: _ClassVar[int]
    START_AT_ID_FIELD_NUMBER: _ClassVar[int]
    START_AT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    START_AT_OLDEST_POSSIBLE_FIELD_NUMBER: _ClassVar[int]
    regular: RegularStream
    durable_queue: DurableQueue
    disable_explicit_ack: _empty_pb2.Empty
    custom_ack_timeout: _duration_pb2.Duration
    max_in_flight: int
    start_at_new: _empty_pb2.Empty
    start_at_id: int
    start_at_timestamp: _timestamp_pb2.Timestamp
    start_at_oldest_possible: _empty_pb2.Empty
    def __init__(self, regular: _Optional[_Union[RegularStream, _Mapping]] = ..., durable_queue: _Optional[_Union[DurableQueue, _Mapping]] = ..., disable_explicit_ack: _Optional[_Union[_empty_pb2.Empty, _Mapping]] = ..., custom_ack_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_in_flight: _Optional[int] = ..., start_at_new: _Optional[_Union[_empty_pb2.Empty, _Mapping]] = ..., start_at_id: _Optional[int] = ..., start_at_timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_at_oldest_possible: _Optional[_Union[_empty_pb2.Empty, _Mapping]] = ...) -> None: ...

class RegularStream(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DurableQueue(_message.Message):
    __slots__ = ("custom_name",)
    CUSTOM_NAME_FIELD_NUMBER: _ClassVar[int]
    custom_name: str
    def __init__(self, custom_name: _Optional[str] = ...) -> None: ...

class AckInfo(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: str
    def __init__(self, value: _Optional[str] = ...) -> None: ...

class AckStatus(_message.Message):
    __slots__ = ("status_code",)
    class StatusCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATUS_CODE_UNSPECIFIED: _ClassVar[AckStatus.StatusCode]
        STATUS_CODE_FAILURE: _ClassVar[AckStatus.StatusCode]
        STATUS_CODE_SUCCESS: _ClassVar[AckStatus.StatusCode]
    STATUS_CODE_UNSPECIFIED: AckStatus.StatusCode
    STATUS_CODE_FAILURE: AckStatus.StatusCode
    STATUS_CODE_SUCCESS: AckStatus.StatusCode
    STATUS_CODE_FIELD_NUMBER: _ClassVar[int]
    status_code: AckStatus.StatusCode
    def __init__(self, status_code: _Optional[_Union[AckStatus.StatusCode, str]] = ...) -> None: ...

class AckRequest(_message.Message):
    __slots__ = ("ack_info",)
    ACK_INFO_FIELD_NUMBER: _ClassVar[int]
    ack_info: AckInfo
    def __init__(self, ack_info: _Optional[_Union[AckInfo, _Mapping]] = ...) -> None: ...

class AckResponse(_message.Message):
    __slots__ = ("ack_status",)
    ACK_STATUS_FIELD_NUMBER: _ClassVar[int]
    ack_status: AckStatus
    def __init__(self, ack_status: _Optional[_Union[AckStatus, _Mapping]] = ...) -> None: ...

class Identifier(_message.Message):
    __slots__ = ("subscription_identifier",)
    SUBSCRIPTION_IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    subscription_identifier: _types_pb2.SubscriptionIdentifier
    def __init__(self, subscription_identifier: _Optional[_Union[_types_pb2.SubscriptionIdentifier, _Mapping]] = ...) -> None: ...

class Metadata(_message.Message):
    __slots__ = ("timestamp", "identifier", "ack_info", "is_redelivered")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    ACK_INFO_FIELD_NUMBER: _ClassVar[int]
    IS_REDELIVERED_FIELD_NUMBER: _ClassVar[int]
    timestamp: _timestamp_pb2.Timestamp
    identifier: Identifier
    ack_info: AckInfo
    is_redelivered: bool
    def __init__(self, timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., identifier: _Optional[_Union[Identifier, _Mapping]] = ..., ack_info: _Optional[_Union[AckInfo, _Mapping]] = ..., is_redelivered: bool = ...) -> None: ...
