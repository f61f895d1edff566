"""Writes all of wgtwo's messages and services as the descriptor set that `grpcurl -protoset` takes.

From the generated stubs, so without protoc: `python -m wgtwo_pipeline.sandbox.services.descriptor_set wgtwo.bin`.
"""

import sys
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from wgtwo.common.v0 import phonenumber_pb2 as common_v0
from wgtwo.common.v1 import phonenumber_pb2 as common_v1
from wgtwo.common.v1 import types_pb2 as types_v1
from wgtwo.consents.v1 import consent_events_pb2 as consents_v1
from wgtwo.events.v0 import events_pb2 as events_v0
from wgtwo.events.v1 import events_pb2 as events_v1
from wgtwo.sms.v0 import sms_pb2 as sms_v0
from wgtwo.subscription.v1 import subscription_events_pb2 as subscription_v1

FILES: tuple[Any, ...] = tuple(
    module.DESCRIPTOR
    for module in (
        common_v0,
        common_v1,
        types_v1,
        events_v0,
        events_v1,
        sms_v0,
        consents_v1,
        subscription_v1,
    )
)


def descriptor_set() -> FileDescriptorSet:
    """Every file of the contract and what they import, each after its imports."""
    result = FileDescriptorSet()
    seen: set[str] = set()

    def add(file: Any) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for imported in file.dependencies:
                add(imported)
            file.CopyToProto(result.file.add())

    for file in FILES:
        add(file)
    return result


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m wgtwo_pipeline.sandbox.services.descriptor_set FILE")
    Path(sys.argv[1]).write_bytes(descriptor_set().SerializeToString(deterministic=True))
