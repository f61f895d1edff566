// Package wire speaks the event service's v0 messages as raw bytes: no generated stubs, no decoding beyond the
// envelope, so that a benchmark's own cost stays small beside what it measures.
package wire

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Full method names of wgtwo.events.v0.EventsService.
const (
	Service   = "wgtwo.events.v0.EventsService"
	Subscribe = "/" + Service + "/Subscribe"
	Ack       = "/" + Service + "/Ack"
)

// Codec is a gRPC codec whose messages are *[]byte, passed through untouched. It calls itself "proto" because that is
// what the bytes are.
type Codec struct{}

// Name is the content subtype that peers see.
func (Codec) Name() string { return "proto" }

// Marshal passes the bytes on without copying; they must not be changed until the message is sent.
func (Codec) Marshal(message any) (mem.BufferSlice, error) {
	content, ok := message.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("a raw message is a *[]byte, not %T", message)
	}
	return mem.BufferSlice{mem.SliceBuffer(*content)}, nil
}

// Unmarshal copies the bytes out of the transport's buffers.
func (Codec) Unmarshal(data mem.BufferSlice, message any) error {
	content, ok := message.(*[]byte)
	if !ok {
		return fmt.Errorf("a raw message is a *[]byte, not %T", message)
	}
	*content = data.Materialize()
	return nil
}

// Field is one decoded field: Bytes holds what length-delimited fields carry, Number what varints do.
type Field struct {
	Bytes  []byte
	Number uint64
}

// Fields calls visit for every field of a message in wire order; fields that are neither varint nor length-delimited
// are passed over.
func Fields(message []byte, visit func(number protowire.Number, field Field)) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var field Field
		switch kind {
		case protowire.VarintType:
			field.Number, size = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			field.Bytes, size = protowire.ConsumeBytes(message)
		default:
			size = protowire.ConsumeFieldValue(number, kind, message)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		visit(number, field)
		message = message[size:]
	}
	return nil
}

// Message returns the nested message at a path of field numbers; nil where it is not set.
func Message(message []byte, path ...protowire.Number) ([]byte, error) {
	for _, wanted := range path {
		var nested []byte
		err := Fields(message, func(number protowire.Number, field Field) {
			if number == wanted {
				nested = field.Bytes
			}
		})
		if err != nil {
			return nil, err
		}
		message = nested
	}
	return message, nil
}

// AppendBytes appends a length-delimited field: a string, bytes or an encoded message.
func AppendBytes[T ~string | ~[]byte](to []byte, number protowire.Number, content T) []byte {
	to = protowire.AppendTag(to, number, protowire.BytesType)
	to = protowire.AppendVarint(to, uint64(len(content)))
	return append(to, content...)
}

// AppendNumber appends a varint field: an integer, an enum or a bool.
func AppendNumber(to []byte, number protowire.Number, value uint64) []byte {
	to = protowire.AppendTag(to, number, protowire.VarintType)
	return protowire.AppendVarint(to, value)
}
