package wire

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

const ackTimeout = 30 * time.Second

// Connect returns a connection whose messages stay bytes: plaintext, or TLS that trusts the certificates of a file.
func Connect(target, caFile string) (*grpc.ClientConn, error) {
	security := insecure.NewCredentials()
	if caFile != "" {
		var err error
		if security, err = credentials.NewClientTLSFromFile(caFile, ""); err != nil {
			return nil, err
		}
	}
	return grpc.NewClient(
		target,
		grpc.WithTransportCredentials(security),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(Codec{})),
	)
}

// Open subscribes to all events from the oldest on, with manual ack.
func Open(connection *grpc.ClientConn, client string, inFlight uint64) (grpc.ClientStream, error) {
	manualAck := AppendNumber(nil, 1, 1)
	manualAck = AppendBytes(manualAck, 2, AppendNumber(nil, 1, uint64(ackTimeout.Seconds())))
	request := AppendBytes(nil, 11, "") // start_at_oldest_possible
	request = AppendBytes(request, 6, client)
	request = AppendBytes(request, 7, "benchmark")
	request = AppendBytes(request, 8, "benchmark")
	request = AppendNumber(request, 9, inFlight)
	request = AppendBytes(request, 10, manualAck)

	stream, err := connection.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, Subscribe)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(&request); err != nil {
		return nil, err
	}
	return stream, stream.CloseSend()
}

// Acknowledge acks the event of a SubscribeEventsResponse and returns when the server has answered.
func Acknowledge(connection *grpc.ClientConn, response []byte) error {
	metadata, err := Message(response, 1, 1) // event.metadata
	if err != nil {
		return err
	}
	var inbox []byte
	var sequence uint64
	err = Fields(metadata, func(number protowire.Number, field Field) {
		switch number {
		case 1:
			sequence = field.Number
		case 3:
			inbox = field.Bytes
		}
	})
	if err != nil {
		return err
	}
	request := AppendNumber(AppendBytes(nil, 1, inbox), 2, sequence)
	ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
	defer cancel()
	var answer []byte
	return connection.Invoke(ctx, Ack, &request, &answer)
}
