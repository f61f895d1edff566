from wgtwo.common.v0 import phonenumber_pb2 as _phonenumber_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SendTextAsOperatorRequest(_message.Message):
    __slots__ = ("content", "from_operator_address", "to_subscriber")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FROM_OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TO_SUBSCRIBER_FIELD_NUMBER: _ClassVar[int]
    content: str
    from_operator_address: _phonenumber_pb2.TextAddress
    to_subscriber: _phonenumber_pb2.PhoneNumber
    def __init__(self, content: _Optional[str] = ..., from_operator_address: _Optional[_Union[_phonenumber_pb2.TextAddress, _Mapping]] = ..., to_subscriber: _Optional[_Union[_phonenumber_pb2.PhoneNumber, _Mapping]] = ...) -> None: ...

class SendTextAsProductRequest(_message.Message):
    __slots__ = ("content", "from_product_address", "to_subscriber")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FROM_PRODUCT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TO_SUBSCRIBER_FIELD_NUMBER: _ClassVar[int]
    content: str
    from_product_address: _phonenumber_pb2.TextAddress
    to_subscriber: _phonenumber_pb2.PhoneNumber
    def __init__(self, content: _Optional[str] = ..., from_product_address: _Optional[_Union[_phonenumber_pb2.TextAddress, _Mapping]] = ..., to_subscriber: _Optional[_Union[_phonenumber_pb2.PhoneNumber, _Mapping]] = ...) -> None: ...

class SendTextToSubscriberRequest(_message.Message):
    __slots__ = ("content", "from_e164", "from_text_address", "from_short_number", "to_subscriber")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FROM_E164_FIELD_NUMBER: _ClassVar[int]
    FROM_TEXT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FROM_SHORT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TO_SUBSCRIBER_FIELD_NUMBER: _ClassVar[int]
    content: str
    from_e164: _phonenumber_pb2.PhoneNumber
    from_text_address: _phonenumber_pb2.TextAddress
    from_short_number: _phonenumber_pb2.NationalPhoneNumber
    to_subscriber: _phonenumber_pb2.PhoneNumber
    def __init__(self, content: _Optional[str] = ..., from_e164: _Optional[_Union[_phonenumber_pb2.PhoneNumber, _Mapping]] = ..., from_text_address: _Optional[_Union[_phonenumber_pb2.TextAddress, _Mapping]] = ..., from_short_number: _Optional[_Union[_phonenumber_pb2.NationalPhoneNumber, _Mapping]] = ..., to_subscriber: _Optional[_Union[_phonenumber_pb2.PhoneNumber, _Mapping]] = ...) -> None: ...

class SendTextFromSubscriberRequest(_message.Message):
    __slots__ = ("content", "from_subscriber", "to_e164", "to_short_number")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FROM_SUBSCRIBER_FIELD_NUMBER: _ClassVar[int]
    TO_E164_FIELD_NUMBER: _ClassVar[int]
    TO_SHORT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    content: str
    from_subscriber: _phonenumber_pb2.PhoneNumber
    to_e164: _phonenumber_pb2.PhoneNumber
    to_short_number: _phonenumber_pb2.NationalPhoneNumber
    def __init__(self, content: _Optional[str] = ..., from_subscriber: _Optional[_Union[_phonenumber_pb2.PhoneNumber, _Mapping]] = ..., to_e164: _Optional[_Union[_phonenumber_pb2.PhoneNumber, _Mapping]] = ..., to_short_number: _Optional[_Union[_phonenumber_pb2.NationalPhoneNumber, _Mapping]] = ...) -> None: ...

class SendBinaryToSubscriberRequest(_message.Message):
    __slots__ = ("content", "from_e164", "from_text_address", "from_short_number", "to_subscriber", "message_class", "applicationPort")
    class MessageClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MESSAGE_CLASS_NOT_SET: _ClassVar[SendBinaryToSubscriberRequest.MessageClass]
        CLASS0: _ClassVar[SendBinaryToSubscriberRequest.MessageClass]
        CLASS1: _ClassVar[SendBinaryToSubscriberRequest.MessageClass]
        CLASS2: _ClassVar[SendBinaryToSubscriberRequest.MessageClass]
        CLASS3: _ClassVar[SendBinaryToSubscriberRequest.MessageClass]
    MESSAGE_CLASS_NOT_SET: SendBinaryToSubscriberRequest.MessageClass
    CLASS0: SendBinaryToSubscriberRequest.MessageClass
    CLASS1: SendBinaryToSubscriberRequest.MessageClass
    CLASS2: SendBinaryToSubscriberRequest.MessageClass
    CLASS3: SendBinaryToSubscriberRequest.MessageClass
    class ApplicationPort(_message.Message):
        __slots__ = ("originatorPort", "destinationPort")
        ORIGINATORPORT_FIELD_NUMBER: _ClassVar[int]
        DESTINATIONPORT_FIELD_NUMBER: _ClassVar[int]
        originatorPort: int
        destinationPort: int
        def __init__(self, originatorPort: _Optional[int] = ..., destinationPort: _Optional[int] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FROM_E164_FIELD_NUMBER: _ClassVar[int]
    FROM_TEXT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FROM_SHORT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TO_SUBSCRIBER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_CLASS_FIELD_NUMBER: _ClassVar[int]
    APPLICATIONPORT_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    from_e164: _phonenumber_pb2.PhoneNumber
    from_text_address: _phonenumber_pb2.TextAddress
    from_short_number: _phonenumber_pb2.NationalPhoneNumber
    to_subscriber: _phonenumber_pb2.PhoneNumber
    message_class: SendBinaryToSubscriberRequest.MessageClass
    applicationPort: SendBinaryToSubscriberRequest.ApplicationPort
    def __init__(self, content: _Optional[bytes] = ..., from_e164: _Optional[_Union[_phonenumber_pb2.PhoneNumber, _Mapping]] = ..., from_text_address: _Optional[_Union[_phonenumber_pb2.TextAddress, _Mapping]] = ..., from_short_number: _Optional[_Union[_phonenumber_pb2.NationalPhoneNumber, _Mapping]] = ..., to_subscriber: _Optional[_Union[_phonenumber_pb2.PhoneNumber, _Mapping]] = ..., message_class: _Optional[_Union[SendBinaryToSubscriberRequest.MessageClass, str]] = ..., applicationPort: _Optional[_Union[SendBinaryToSubscriberRequest.ApplicationPort, _Mapping]] = ...) -> None: ...

class SendResponse(_message.Message):
    __slots__ = ("request_id", "status", "description")
    class SendStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[SendResponse.SendStatus]
        SEND_OK: _ClassVar[SendResponse.SendStatus]
        SEND_REJECT: _ClassVar[SendResponse.SendStatus]
        SEND_ERROR: _ClassVar[SendResponse.SendStatus]
    UNKNOWN: SendResponse.SendStatus
    SEND_OK: SendResponse.SendStatus
    SEND_REJECT: SendResponse.SendStatus
    SEND_ERROR: SendResponse.SendStatus
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    status: SendResponse.SendStatus
    description: str
    def __init__(self, request_id: _Optional[str] = ..., status: _Optional[_Union[SendResponse.SendStatus, str]] = ..., description: _Optional[str] = ...) -> None: ...
