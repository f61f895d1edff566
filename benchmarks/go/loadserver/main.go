// Loadserver is an event service for benchmarks: v0 Subscribe and Ack, faster than any client takes, with
// max_in_flight and manual ack held exactly. It keeps no history and redelivers nothing: what a stream leaves unacked
// when it ends is lost, so it proves speed, never correctness.
//
// All streams share the events, as the members of one queue do. On stdout it prints one JSON line with its addresses
// when it listens, one at the first delivery, and one with the outcome when every event is acked; then it stays open and
// idle until SIGINT or SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"wgtwo-pipeline/benchmarks/wire"
)

// defaultInFlight is what NATS Streaming uses for a subscriber that names no limit.
const defaultInFlight = 1024

// spacing separates the timestamps of neighbouring events.
const spacing = 50 * time.Microsecond

// inboxPrefix and a stream's number make its ack inbox.
const inboxPrefix = "_INBOX.acks.benchmark.events."

type server struct {
	events uint64 // how many are sent in all
	start  time.Time
	bodies *bodies

	sent, acked, inFlight, inFlightPeak atomic.Int64
	firstSent, lastAcked                atomic.Int64    // nanoseconds since start
	unacked                             []atomic.Uint64 // a bit for every event that is sent and not acked

	mutex   sync.Mutex
	streams []chan struct{} // a stream's slots, one filled for every event in flight; its index is its inbox
}

type outcome struct {
	Sent            int64   `json:"sent"`
	Acked           int64   `json:"acked"`
	InFlight        int64   `json:"in_flight"`
	InFlightPeak    int64   `json:"in_flight_peak"`
	Seconds         float64 `json:"seconds"` // from the first delivery to the last ack
	EventsPerSecond float64 `json:"events_per_second"`
}

func (s *server) outcome() outcome {
	seconds := time.Duration(s.lastAcked.Load() - s.firstSent.Load()).Seconds()
	told := outcome{Sent: s.sent.Load(), Acked: s.acked.Load(), InFlight: s.inFlight.Load(), InFlightPeak: s.inFlightPeak.Load()}
	if told.Acked > 0 && seconds > 0 {
		told.Seconds, told.EventsPerSecond = seconds, float64(told.Acked)/seconds
	}
	return told
}

type subscription struct {
	types     []int
	inFlight  uint64
	manualAck bool
}

func parseSubscription(request []byte) (subscription, error) {
	parsed := subscription{inFlight: defaultInFlight}
	add := func(kind uint64) {
		if kind >= 1 && kind <= eventTypes {
			parsed.types = append(parsed.types, int(kind))
		}
	}
	err := wire.Fields(request, func(number protowire.Number, field wire.Field) {
		switch number {
		case 1: // packed or not
			if field.Bytes == nil {
				add(field.Number)
			}
			for rest := field.Bytes; len(rest) > 0; {
				kind, size := protowire.ConsumeVarint(rest)
				if size < 0 {
					return
				}
				add(kind)
				rest = rest[size:]
			}
		case 9:
			if field.Number > 0 {
				parsed.inFlight = min(field.Number, math.MaxUint32)
			}
		case 10:
			_ = wire.Fields(field.Bytes, func(number protowire.Number, field wire.Field) {
				if number == 1 {
					parsed.manualAck = field.Number != 0
				}
			})
		}
	})
	if len(parsed.types) == 0 {
		for kind := 1; kind <= eventTypes; kind++ {
			parsed.types = append(parsed.types, kind)
		}
	}
	return parsed, err
}

func (s *server) subscribe(stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	wanted, err := parseSubscription(request)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "SubscribeEventsRequest: %v", err)
	}
	slots := make(chan struct{}, wanted.inFlight)
	inbox := s.addStream(slots)
	for {
		if wanted.manualAck {
			select {
			case slots <- struct{}{}:
			case <-stream.Context().Done():
				return nil
			}
		}
		sequence := uint64(s.sent.Add(1))
		if sequence > s.events {
			s.sent.Add(-1)
			<-stream.Context().Done()
			return nil
		}
		kind := wanted.types[sequence%uint64(len(wanted.types))]
		body := s.bodies[kind][sequence%variants]
		event := encodeEvent(sequence, inbox, s.timestamp(sequence), body)
		if s.firstSent.CompareAndSwap(0, int64(time.Since(s.start))) {
			printLine(map[string]bool{"delivering": true})
		}
		if wanted.manualAck {
			s.unacked[sequence/64].Or(1 << (sequence % 64))
			s.noteInFlight(s.inFlight.Add(1))
		}
		if err := stream.SendMsg(&event); err != nil {
			return err
		}
		if !wanted.manualAck {
			s.noteAcked()
		}
	}
}

// timestamp grows with the sequence up to the server's start, in whole microseconds.
func (s *server) timestamp(sequence uint64) time.Time {
	return s.start.Truncate(time.Microsecond).Add(-time.Duration(s.events-sequence) * spacing)
}

func (s *server) addStream(slots chan struct{}) (inbox string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.streams = append(s.streams, slots)
	return fmt.Sprintf(inboxPrefix+"%08d", len(s.streams)-1)
}

func (s *server) noteInFlight(now int64) {
	for peak := s.inFlightPeak.Load(); now > peak; peak = s.inFlightPeak.Load() {
		if s.inFlightPeak.CompareAndSwap(peak, now) {
			return
		}
	}
}

func (s *server) noteAcked() {
	s.lastAcked.Store(int64(time.Since(s.start)))
	if s.acked.Add(1) == int64(s.events) {
		printLine(s.outcome())
	}
}

// ack frees the slot of an event once; acking it again, or an event that is not in flight, changes nothing.
func (s *server) ack(request []byte) error {
	var inbox []byte
	var sequence uint64
	err := wire.Fields(request, func(number protowire.Number, field wire.Field) {
		switch number {
		case 1:
			inbox = field.Bytes
		case 2:
			sequence = field.Number
		}
	})
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "AckRequest: %v", err)
	}
	slots := s.slots(inbox)
	if slots == nil || sequence == 0 || sequence > s.events {
		return status.Errorf(codes.NotFound, "no event %d in inbox %q", sequence, inbox)
	}
	bit := uint64(1) << (sequence % 64)
	if s.unacked[sequence/64].And(^bit)&bit == 0 {
		return nil
	}
	s.inFlight.Add(-1)
	s.noteAcked()
	<-slots
	return nil
}

func (s *server) slots(inbox []byte) chan struct{} {
	index, err := strconv.Atoi(strings.TrimPrefix(string(inbox), inboxPrefix))
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err != nil || index < 0 || index >= len(s.streams) {
		return nil
	}
	return s.streams[index]
}

func (s *server) description() *grpc.ServiceDesc {
	empty := []byte{}
	return &grpc.ServiceDesc{
		ServiceName: wire.Service,
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName:    "Subscribe",
			ServerStreams: true,
			Handler:       func(_ any, stream grpc.ServerStream) error { return s.subscribe(stream) },
		}},
		Methods: []grpc.MethodDesc{{
			MethodName: "Ack",
			Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				var request []byte
				if err := decode(&request); err != nil {
					return nil, err
				}
				return &empty, s.ack(request)
			},
		}},
	}
}

func printLine(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		log.Print(err)
	}
}

func main() {
	events := flag.Uint64("events", 100_000, "events to send in all, over all streams")
	address := flag.String("address", "127.0.0.1:0", "host:port of the event service")
	statistics := flag.String("statistics", "127.0.0.1:0", "host:port of the outcome so far, as JSON over HTTP")
	certificate := flag.String("certificate", "", "PEM file to serve TLS with; plaintext without")
	key := flag.String("key", "", "PEM file of its private key")
	flag.Parse()

	security := insecure.NewCredentials()
	if *certificate != "" {
		var err error
		if security, err = credentials.NewServerTLSFromFile(*certificate, *key); err != nil {
			log.Fatal(err)
		}
	}
	service := &server{events: *events, start: time.Now(), bodies: encodeBodies(), unacked: make([]atomic.Uint64, *events/64+1)}
	grpcServer := grpc.NewServer(
		grpc.Creds(security),
		grpc.ForceServerCodecV2(wire.Codec{}),
		grpc.MaxConcurrentStreams(1<<20),
		grpc.NumStreamWorkers(4),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	grpcServer.RegisterService(service.description(), service)
	told := http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(response).Encode(service.outcome())
	})
	listener, page := listen(*address), listen(*statistics)
	printLine(map[string]string{"address": listener.Addr().String(), "statistics": "http://" + page.Addr().String()})
	go func() { log.Fatal(http.Serve(page, told)) }()

	stop, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer release()
	go func() {
		<-stop.Done()
		grpcServer.Stop()
	}()
	if err := grpcServer.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

func listen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatalf("%v: choose another address, or port 0 for any free one", err)
	}
	return listener
}
