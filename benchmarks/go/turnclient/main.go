// Turnclient is the plain client that benchmarks compare with: it receives an event, acks it, waits for the answer, and
// only then takes the next, as the getting-started guide's client does. It stores nothing and decodes only what the ack
// needs. It prints one JSON line.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"

	"wgtwo-pipeline/benchmarks/wire"
)

const ackTimeout = 30 * time.Second

func main() {
	target := flag.String("target", "127.0.0.1:50051", "host:port of the event service, plaintext")
	inFlight := flag.Uint64("max-in-flight", 50, "max_in_flight of the subscription")
	events := flag.Uint64("events", 10_000, "events to ack before it ends")
	flag.Parse()

	connection, err := grpc.NewClient(
		*target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec{})),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	stream, err := subscribe(connection, *inFlight)
	if err != nil {
		log.Fatalf("cannot subscribe at %s: %v", *target, err)
	}
	var first time.Time
	for done := range *events {
		var response []byte
		if err := stream.RecvMsg(&response); err != nil {
			log.Fatalf("the stream ended after %d events: %v", done, err)
		}
		if done == 0 {
			first = time.Now()
		}
		if err := ack(connection, response); err != nil {
			log.Fatalf("cannot ack event %d: %v", done+1, err)
		}
	}
	seconds := time.Since(first).Seconds()
	err = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"max_in_flight": *inFlight, "events": *events, "seconds": seconds, "events_per_second": float64(*events) / seconds,
	})
	if err != nil {
		log.Fatal(err)
	}
}

func subscribe(connection *grpc.ClientConn, inFlight uint64) (grpc.ClientStream, error) {
	manualAck := wire.AppendNumber(nil, 1, 1)
	manualAck = wire.AppendBytes(manualAck, 2, wire.AppendNumber(nil, 1, uint64(ackTimeout.Seconds())))
	request := wire.AppendBytes(nil, 11, "") // start_at_oldest_possible
	request = wire.AppendBytes(request, 6, "turnclient")
	request = wire.AppendBytes(request, 7, "benchmark")
	request = wire.AppendBytes(request, 8, "benchmark")
	request = wire.AppendNumber(request, 9, inFlight)
	request = wire.AppendBytes(request, 10, manualAck)

	stream, err := connection.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, wire.Subscribe)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(&request); err != nil {
		return nil, err
	}
	return stream, stream.CloseSend()
}

// ack acknowledges the event of a SubscribeEventsResponse and returns when the server has answered.
func ack(connection *grpc.ClientConn, response []byte) error {
	metadata, err := wire.Message(response, 1, 1) // event.metadata
	if err != nil {
		return err
	}
	var inbox []byte
	var sequence uint64
	err = wire.Fields(metadata, func(number protowire.Number, field wire.Field) {
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
	request := wire.AppendNumber(wire.AppendBytes(nil, 1, inbox), 2, sequence)
	ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
	defer cancel()
	var answer []byte
	return connection.Invoke(ctx, wire.Ack, &request, &answer)
}
