"""The compiled descriptors say what the wire contract says: no more, no less, nothing else.

`contract.txt` is the contract's own list of packages, messages, enums and services, word for word. Both it and the
descriptors are turned into sets of facts, which must be equal.
"""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[3]
PROTOS = ROOT / "protos"
CONTRACT = (Path(__file__).parent / "contract.txt").read_text()
SCALARS = {"string", "bytes", "bool", "uint32", "uint64"}
FILES = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))

Field = descriptor_pb2.FieldDescriptorProto
TYPE_NAMES = {
    Field.TYPE_STRING: "string",
    Field.TYPE_BYTES: "bytes",
    Field.TYPE_BOOL: "bool",
    Field.TYPE_UINT32: "uint32",
    Field.TYPE_UINT64: "uint64",
}


def told(contract):
    """The facts that the contract's text tells."""
    facts = set()
    for section in re.split(r"^## ", contract, flags=re.M)[1:]:
        head, _, body = section.partition("\n")
        package, file = re.fullmatch(r"package (\S+)   \(file (\S+)\)", head).groups()
        facts.add(("file", file, package, "proto3"))

        def full(name, package=package):
            if name in SCALARS or name.startswith(("google.", "wgtwo.")):
                return name
            return f"{package}.{name}"

        for block in re.split(r"\n\s*\n", body.strip("\n")):
            lines = [line.strip() for line in block.splitlines()]
            if lines and lines[0].startswith("imports: "):
                facts.update(("import", file, name.strip()) for name in lines[0][9:].split(","))
                lines = lines[1:]
            if not lines:
                continue
            first, rest = lines[0], lines[1:]
            if first.startswith("service "):
                service = full(first.split()[1])
                for line in rest:
                    name, asked, stream, answer = re.fullmatch(
                        r"rpc (\w+)\((\w+)\) -> (stream )?(\w+)(?:   scope '\S+')?", line
                    ).groups()
                    facts.add(("rpc", file, service, name, full(asked), full(answer), bool(stream)))
            elif first.startswith("enum "):
                enum = full(first.split()[1])
                for value in " ".join(rest).split(", "):
                    name, number = value.split("=")
                    facts.add(("value", file, enum, name, int(number)))
            else:
                name, reserved = re.fullmatch(r"(\S+)(?:  \(reserved numbers (\d+)\))?", first).groups()
                facts.add(("message", file, full(name), int(reserved) if reserved else None))
                for line in rest:
                    number, field, many, kind, oneof, old = re.fullmatch(
                        r"(\d+)\s+(\w+): (repeated )?(\S+)(?:  oneof (\w+))?(  deprecated)?", line
                    ).groups()
                    facts.add(
                        (
                            "field",
                            file,
                            full(name),
                            int(number),
                            field,
                            bool(many),
                            full(kind),
                            oneof,
                            bool(old),
                        )
                    )
    return facts


def compiled(file):
    """The facts that a compiled file's descriptor tells; a JSON name is told only where it is not the usual one."""
    module = importlib.import_module(file.removesuffix(".proto").replace("/", ".") + "_pb2")
    proto = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(proto)
    facts = {("file", proto.name, proto.package, proto.syntax)}
    facts.update(("import", file, name) for name in proto.dependency)

    def enum_facts(enum, scope):
        facts.update(
            ("value", file, f"{scope}.{enum.name}", value.name, value.number) for value in enum.value
        )

    def message_facts(message, scope):
        name = f"{scope}.{message.name}"
        reserved = [number for span in message.reserved_range for number in range(span.start, span.end)]
        assert len(reserved) <= 1
        facts.add(("message", file, name, reserved[0] if reserved else None))
        for field in message.field:
            oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
            kind = TYPE_NAMES.get(field.type) or field.type_name.removeprefix(".")
            repeated = field.label == Field.LABEL_REPEATED
            old = field.options.deprecated
            facts.add(("field", file, name, field.number, field.name, repeated, kind, oneof, old))
            camel = re.sub(r"_(\w)", lambda match: match[1].upper(), field.name)
            if field.json_name not in ("", camel):
                facts.add(("json", name, field.json_name))
        for enum in message.enum_type:
            enum_facts(enum, name)
        for nested in message.nested_type:
            message_facts(nested, name)

    for enum in proto.enum_type:
        enum_facts(enum, proto.package)
    for message in proto.message_type:
        message_facts(message, proto.package)
    for service in proto.service:
        for method in service.method:
            assert not method.client_streaming
            asked, answer = method.input_type.removeprefix("."), method.output_type.removeprefix(".")
            facts.add(
                (
                    "rpc",
                    file,
                    f"{proto.package}.{service.name}",
                    method.name,
                    asked,
                    answer,
                    method.server_streaming,
                )
            )
    return facts


def test_descriptors_say_what_the_contract_says():
    """Names, numbers, types, oneofs, enums, services, streaming, files, packages: equal sets of facts."""
    facts = told(CONTRACT)
    assert {kind: sum(fact[0] == kind for fact in facts) for kind in {fact[0] for fact in facts}} == {
        "file": 8,
        "import": 14,
        "rpc": 17,
        "value": 47,
        "message": 85,
        "field": 208,
    }
    assert set().union(*(compiled(file) for file in FILES)) == facts


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("   12  owner: Owner", "   13  owner: Owner"),
        ("HANDSET_UPDATE_EVENT=9", "HANDSET_UPDATE_EVENT=12"),
        ("oneof start_position", ""),
        ("-> stream SubscribeEventsResponse", "-> SubscribeEventsResponse"),
        ("uint64", "uint32"),
    ],
)
def test_any_other_contract_is_noticed(right, wrong):
    """The comparison can fail: a changed number, enum, oneof, stream or type makes the facts differ."""
    changed = CONTRACT.replace(right, wrong, 1)
    assert changed != CONTRACT
    assert told(changed) != set().union(*(compiled(file) for file in FILES))


def test_stubs_are_current(tmp_path):
    """The committed stubs are what `protos/generate.sh` generates from the committed .proto files."""
    pytest.importorskip("grpc_tools", reason="grpcio-tools is a dev tool")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "-I",
            ".",
            f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}",
            *FILES,
        ],
        cwd=PROTOS,
        check=True,
    )
    generated = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.py*")}
    committed = {
        path.relative_to(PROTOS): path.read_text()
        for path in PROTOS.rglob("*_pb2.py*")
        if path.suffix != ".pyc"
    }
    assert len(generated) == 2 * len(FILES)
    assert committed == generated


def test_descriptor_set_is_whole(tmp_path):
    """`python -m wgtwo_pipeline.sandbox.services.descriptor_set` writes every file and every import, each after its imports."""
    path = tmp_path / "wgtwo.bin"
    subprocess.run([sys.executable, "-m", "wgtwo_pipeline.sandbox.services.descriptor_set", str(path)], check=True)
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
    seen = set()
    for file in files:
        assert set(file.dependency) <= seen
        seen.add(file.name)
    google = {f"google/protobuf/{name}.proto" for name in ("duration", "empty", "timestamp")}
    assert seen == {*FILES, *google}
