// Pipeclient is the client that an experienced Go programmer would write where rate counts: it goes on receiving while
// acks are under way, each in a goroutine of its own. With -store it does what ingest does before it acks: it collects
// half of what may be in flight, or what has come within the linger time, of small windows also what comes right behind
// that, and writes it to a file of its own,
// checksummed, fsynced, linked into place, with the folder fsynced; the next group is written while the acks of the last
// are under way. Without it, it stores nothing.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"wgtwo-pipeline/benchmarks/wire"
)

// As ingest has them.
const (
	linger          = 200 * time.Millisecond
	lull            = 2 * time.Millisecond
	worthWaitingFor = 64
)

func main() {
	target := flag.String("target", "127.0.0.1:50051", "host:port of the event service")
	caFile := flag.String("ca-file", "", "certificates to trust; plaintext without")
	inFlight := flag.Uint64("max-in-flight", 50, "max_in_flight of the subscription")
	events := flag.Uint64("events", 10_000, "events to ack before it ends")
	store := flag.String("store", "", "folder to store events in before they are acked; nothing is stored without")
	flag.Parse()

	connection, err := wire.Connect(*target, *caFile)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	stream, err := wire.Open(connection, "pipeclient", *inFlight)
	if err != nil {
		log.Fatalf("cannot subscribe at %s: %v", *target, err)
	}

	received := make(chan []byte, *inFlight)
	go receive(stream, received, *events)
	enough, most := 1, 1
	if *store != "" {
		enough = max(1, int(*inFlight/2))
		most = max(enough, min(int(*inFlight), worthWaitingFor))
	}
	var acks sync.WaitGroup
	for number := 0; ; number++ {
		group := collect(received, enough, most)
		if len(group) == 0 {
			break
		}
		if *store != "" {
			if err := put(*store, fmt.Sprintf("%08d-%d", number, len(group)), group); err != nil {
				log.Fatal(err)
			}
		}
		for _, response := range group {
			acks.Add(1)
			go func() {
				defer acks.Done()
				if err := wire.Acknowledge(connection, response); err != nil {
					log.Fatalf("cannot ack: %v", err)
				}
			}()
		}
	}
	acks.Wait()
}

func receive(stream grpc.ClientStream, received chan<- []byte, events uint64) {
	for done := range events {
		var response []byte
		if err := stream.RecvMsg(&response); err != nil {
			log.Fatalf("the stream ended after %d events: %v", done, err)
		}
		received <- response
	}
	close(received)
}

// collect returns enough and what comes right behind, or what has come within the linger time; nothing at the end.
func collect(received <-chan []byte, enough, most int) [][]byte {
	first, more := <-received
	if !more {
		return nil
	}
	group := append(make([][]byte, 0, most), first)
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for len(group) < most {
		if len(group) >= enough {
			timer.Reset(lull)
		}
		select {
		case response, more := <-received:
			if !more {
				return group
			}
			group = append(group, response)
		case <-timer.C:
			return group
		}
	}
	return group
}

// put returns when the group is durable under its name, which nobody else can have taken.
func put(folder, name string, group [][]byte) error {
	var data bytes.Buffer
	for _, response := range group {
		_ = binary.Write(&data, binary.BigEndian, time.Now().UnixMicro())
		_ = binary.Write(&data, binary.BigEndian, uint32(len(response)))
		data.Write(response)
	}
	sum := sha256.Sum256(data.Bytes())
	data.Write(sum[:])

	temporary := filepath.Join(folder, ".tmp-"+name)
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := file.Write(data.Bytes()); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Link(temporary, filepath.Join(folder, name)); err != nil {
		return err
	}
	if err := os.Remove(temporary); err != nil {
		return err
	}
	opened, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer opened.Close()
	return opened.Sync()
}
