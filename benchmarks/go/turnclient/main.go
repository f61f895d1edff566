// Turnclient is the plain client that benchmarks compare with: it receives an event, acks it, waits for the answer, and
// only then takes the next, as the getting-started guide's client does. It stores nothing and decodes only what the ack
// needs. It prints one JSON line.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"

	"wgtwo-pipeline/benchmarks/wire"
)

func main() {
	target := flag.String("target", "127.0.0.1:50051", "host:port of the event service")
	caFile := flag.String("ca-file", "", "certificates to trust; plaintext without")
	inFlight := flag.Uint64("max-in-flight", 50, "max_in_flight of the subscription")
	events := flag.Uint64("events", 10_000, "events to ack before it ends")
	flag.Parse()

	connection, err := wire.Connect(*target, *caFile)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	stream, err := wire.Open(connection, "turnclient", *inFlight)
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
		if err := wire.Acknowledge(connection, response); err != nil {
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
