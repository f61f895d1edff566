from wgtwo.common.v1 import phonenumber_pb2 as _phonenumber_pb2
from wgtwo.common.v1 import types_pb2 as _types_pb2
from wgtwo.events.v1 import events_pb2 as _events_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamHandsetChangeEventsRequest(_message.Message):
    __slots__ = ("stream_configuration",)
    STREAM_CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    stream_configuration: _events_pb2.StreamConfiguration
    def __init__(self, stream_configuration: _Optional[_Union[_events_pb2.StreamConfiguration, _Mapping]] = ...) -> None: ...

class StreamHandsetChangeEventsResponse(_message.Message):
    __slots__ = ("metadata", "handset_change_event")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    HANDSET_CHANGE_EVENT_FIELD_NUMBER: _ClassVar[int]
    metadata: _events_pb2.Metadata
    handset_change_event: HandsetChangeEvent
    def __init__(self, metadata: _Optional[_Union[_events_pb2.Metadata, _Mapping]] = ..., handset_change_event: _Optional[_Union[HandsetChangeEvent, _Mapping]] = ...) -> None: ...

class AckHandsetChangeEventRequest(_message.Message):
    __slots__ = ("ack_info",)
    ACK_INFO_FIELD_NUMBER: _ClassVar[int]
    ack_info: _events_pb2.AckInfo
    def __init__(self, ack_info: _Optional[_Union[_events_pb2.AckInfo, _Mapping]] = ...) -> None: ...

class AckHandsetChangeEventResponse(_message.Message):
    __slots__ = ("ack_status",)
    ACK_STATUS_FIELD_NUMBER: _ClassVar[int]
    ack_status: _events_pb2.AckStatus
    def __init__(self, ack_status: _Optional[_Union[_events_pb2.AckStatus, _Mapping]] = ...) -> None: ...

class StreamCountryChangeEventsRequest(_message.Message):
    __slots__ = ("stream_configuration",)
    STREAM_CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    stream_configuration: _events_pb2.StreamConfiguration
    def __init__(self, stream_configuration: _Optional[_Union[_events_pb2.StreamConfiguration, _Mapping]] = ...) -> None: ...

class StreamCountryChangeEventsResponse(_message.Message):
    __slots__ = ("metadata", "country_change_event")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_CHANGE_EVENT_FIELD_NUMBER: _ClassVar[int]
    metadata: _events_pb2.Metadata
    country_change_event: CountryChangeEvent
    def __init__(self, metadata: _Optional[_Union[_events_pb2.Metadata, _Mapping]] = ..., country_change_event: _Optional[_Union[CountryChangeEvent, _Mapping]] = ...) -> None: ...

class AckCountryChangeEventRequest(_message.Message):
    __slots__ = ("ack_info",)
    ACK_INFO_FIELD_NUMBER: _ClassVar[int]
    ack_info: _events_pb2.AckInfo
    def __init__(self, ack_info: _Optional[_Union[_events_pb2.AckInfo, _Mapping]] = ...) -> None: ...

class AckCountryChangeEventResponse(_message.Message):
    __slots__ = ("ack_status",)
    ACK_STATUS_FIELD_NUMBER: _ClassVar[int]
    ack_status: _events_pb2.AckStatus
    def __init__(self, ack_status: _Optional[_Union[_events_pb2.AckStatus, _Mapping]] = ...) -> None: ...

class StreamFirstAttachmentEventsRequest(_message.Message):
    __slots__ = ("stream_configuration",)
    STREAM_CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    stream_configuration: _events_pb2.StreamConfiguration
    def __init__(self, stream_configuration: _Optional[_Union[_events_pb2.StreamConfiguration, _Mapping]] = ...) -> None: ...

class StreamFirstAttachmentEventsResponse(_message.Message):
    __slots__ = ("metadata", "first_attachment_event")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    FIRST_ATTACHMENT_EVENT_FIELD_NUMBER: _ClassVar[int]
    metadata: _events_pb2.Metadata
    first_attachment_event: FirstAttachmentEvent
    def __init__(self, metadata: _Optional[_Union[_events_pb2.Metadata, _Mapping]] = ..., first_attachment_event: _Optional[_Union[FirstAttachmentEvent, _Mapping]] = ...) -> None: ...

class AckFirstAttachmentEventRequest(_message.Message):
    __slots__ = ("ack_info",)
    ACK_INFO_FIELD_NUMBER: _ClassVar[int]
    ack_info: _events_pb2.AckInfo
    def __init__(self, ack_info: _Optional[_Union[_events_pb2.AckInfo, _Mapping]] = ...) -> None: ...

class AckFirstAttachmentEventResponse(_message.Message):
    __slots__ = ("ack_status",)
    ACK_STATUS_FIELD_NUMBER: _ClassVar[int]
    ack_status: _events_pb2.AckStatus
    def __init__(self, ack_status: _Optional[_Union[_events_pb2.AckStatus, _Mapping]] = ...) -> None: ...

class StreamPeriodicCountryEventsRequest(_message.Message):
    __slots__ = ("stream_configuration",)
    STREAM_CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    stream_configuration: _events_pb2.StreamConfiguration
    def __init__(self, stream_configuration: _Optional[_Union[_events_pb2.StreamConfiguration, _Mapping]] = ...) -> None: ...

class StreamPeriodicCountryEventsResponse(_message.Message):
    __slots__ = ("metadata", "periodic_country_event")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PERIODIC_COUNTRY_EVENT_FIELD_NUMBER: _ClassVar[int]
    metadata: _events_pb2.Metadata
    periodic_country_event: PeriodicCountryEvent
    def __init__(self, metadata: _Optional[_Union[_events_pb2.Metadata, _Mapping]] = ..., periodic_country_event: _Optional[_Union[PeriodicCountryEvent, _Mapping]] = ...) -> None: ...

class AckPeriodicCountryEventRequest(_message.Message):
    __slots__ = ("ack_info",)
    ACK_INFO_FIELD_NUMBER: _ClassVar[int]
    ack_info: _events_pb2.AckInfo
    def __init__(self, ack_info: _Optional[_Union[_events_pb2.AckInfo, _Mapping]] = ...) -> None: ...

class AckPeriodicCountryEventResponse(_message.Message):
    __slots__ = ("ack_status",)
    ACK_STATUS_FIELD_NUMBER: _ClassVar[int]
    ack_status: _events_pb2.AckStatus
    def __init__(self, ack_status: _Optional[_Union[_events_pb2.AckStatus, _Mapping]] = ...) -> None: ...

class Handset(_message.Message):
    __slots__ = ("imei_sv",)
    IMEI_SV_FIELD_NUMBER: _ClassVar[int]
    imei_sv: _types_pb2.ImeiSv
    def __init__(self, imei_sv: _Optional[_Union[_types_pb2.ImeiSv, _Mapping]] = ...) -> None: ...

class HandsetChangeEvent(_message.Message):
    __slots__ = ("number", "imsi", "previous", "current")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    IMSI_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    number: _phonenumber_pb2.E164
    imsi: _types_pb2.Imsi
    previous: Handset
    current: Handset
    def __init__(self, number: _Optional[_Union[_phonenumber_pb2.E164, _Mapping]] = ..., imsi: _Optional[_Union[_types_pb2.Imsi, _Mapping]] = ..., previous: _Optional[_Union[Handset, _Mapping]] = ..., current: _Optional[_Union[Handset, _Mapping]] = ...) -> None: ...

class CountryChangeEvent(_message.Message):
    __slots__ = ("number", "previous", "current")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    number: _phonenumber_pb2.E164
    previous: _types_pb2.Country
    current: _types_pb2.Country
    def __init__(self, number: _Optional[_Union[_phonenumber_pb2.E164, _Mapping]] = ..., previous: _Optional[_Union[_types_pb2.Country, _Mapping]] = ..., current: _Optional[_Union[_types_pb2.Country, _Mapping]] = ...) -> None: ...

class FirstAttachmentEvent(_message.Message):
    __slots__ = ("number", "imsi")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    IMSI_FIELD_NUMBER: _ClassVar[int]
    number: _phonenumber_pb2.E164
    imsi: _types_pb2.Imsi
    def __init__(self, number: _Optional[_Union[_phonenumber_pb2.E164, _Mapping]] = ..., imsi: _Optional[_Union[_types_pb2.Imsi, _Mapping]] = ...) -> None: ...

class PeriodicCountryEvent(_message.Message):
    __slots__ = ("number", "imsi", "country")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    IMSI_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    number: _phonenumber_pb2.E164
    imsi: _types_pb2.Imsi
    country: _types_pb2.Country
    def __init__(self, number: _Optional[_Union[_phonenumber_pb2.E164, _Mapping]] = ..., imsi: _Optional[_Union[_types_pb2.Imsi, _Mapping]] = ..., country: _Optional[_Union[_types_pb2.Country, _Mapping]] = ...) -> None: ...
