#!/bin/sh
# Generates the Python stubs beside the .proto files; they are committed and never edited.
# Needs the dev tools (grpcio-tools): protos/generate.sh [python]
set -eu
protos=$(dirname "$0")
# shellcheck disable=SC2046 # one argument for each file
"${1:-python}" -m grpc_tools.protoc -I "$protos" --python_out="$protos" --pyi_out="$protos" \
  $(find "$protos/wgtwo" -name '*.proto' | sort)
