// Client does what the Go client of wgtwo's getting-started guide does: it gets a token with the OAuth client
// credentials of CLIENT_ID and CLIENT_SECRET, subscribes to SMS events over TLS with a queue and a durable name, 10 in
// flight and manual ack within 10 seconds, displays each event as JSON and acks it. It differs where a test needs it to:
// addresses and the CA are flags, it stops after --events events, and whatever goes wrong makes it exit 1.
//
// It is built from no generated stubs: the messages come from the descriptor set that grpcurl takes as well.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/golang/protobuf/jsonpb"
	"github.com/google/uuid"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/oauth"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

var marshaler = jsonpb.Marshaler{}

func main() {
	address := flag.String("address", "api.wgtwo.com:443", "host:port of the event service, TLS")
	tokenURL := flag.String("token-url", "https://id.wgtwo.com/oauth2/token", "OAuth 2.0 token endpoint")
	caFile := flag.String("ca-file", "", "PEM file of the CA that signed the servers' certificates (default: the system's roots)")
	descriptors := flag.String("descriptors", "wgtwo.bin", "descriptor set of the event API")
	events := flag.Int("events", 0, "exit after acking this many events (0: go on until the stream ends)")
	flag.Parse()
	log.SetFlags(0)
	if err := run(*address, *tokenURL, *caFile, *descriptors, *events); err != nil {
		log.Fatal(err)
	}
}

func run(address, tokenURL, caFile, descriptors string, events int) error {
	service, err := loadService(descriptors)
	if err != nil {
		return err
	}
	roots, err := loadRoots(caFile)
	if err != nil {
		return err
	}
	config := &clientcredentials.Config{
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		Scopes:       []string{"events.sms.subscribe"},
		TokenURL:     tokenURL,
	}
	tokenClient := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	tokens := config.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, tokenClient))

	connection, err := grpc.NewClient(
		address,
		grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, "")),
		grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: tokens}),
	)
	if err != nil {
		return err
	}
	defer connection.Close()
	return receive(&client{connection, service}, events)
}

func receive(client *client, events int) error {
	request := client.message("SubscribeEventsRequest")
	err := prototext.Unmarshal([]byte(fmt.Sprintf(`
		type: SMS_EVENT
		start_at_oldest_possible {}
		client_id: %q
		queue_name: "test"
		durable_name: "test"
		max_in_flight: 10
		manual_ack { enable: true timeout { seconds: 10 } }
	`, uuid.New().String())), request)
	if err != nil {
		return err
	}
	stream, err := client.subscribe(context.Background(), request)
	if err != nil {
		return fmt.Errorf("cannot subscribe: %w", err)
	}
	for acked := 0; events == 0 || acked < events; acked++ {
		response := client.message("SubscribeEventsResponse")
		if err := stream.RecvMsg(response); err != nil {
			return fmt.Errorf("the stream ended after %d events: %w", acked, err)
		}
		if err := display(response); err != nil {
			return err
		}
		if err := client.ack(response); err != nil {
			return fmt.Errorf("cannot ack: %w", err)
		}
	}
	return nil
}

func display(response proto.Message) error {
	json, err := marshaler.MarshalToString(protoadapt.MessageV1Of(response))
	if err != nil {
		return err
	}
	fmt.Println(json)
	return nil
}

// client calls wgtwo.events.v0.EventsService through its descriptors.
type client struct {
	connection *grpc.ClientConn
	service    protoreflect.ServiceDescriptor
}

func (c *client) message(name protoreflect.Name) *dynamicpb.Message {
	return dynamicpb.NewMessage(c.service.ParentFile().Messages().ByName(name))
}

func (c *client) subscribe(ctx context.Context, request proto.Message) (grpc.ClientStream, error) {
	stream, err := c.connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, c.method("Subscribe"))
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(request); err != nil {
		return nil, err
	}
	return stream, stream.CloseSend()
}

func (c *client) ack(response *dynamicpb.Message) error {
	metadata := field(field(response, "event").Message(), "metadata").Message()
	request := c.message("AckRequest")
	fields := request.Descriptor().Fields()
	request.Set(fields.ByName("inbox"), field(metadata, "ack_inbox"))
	request.Set(fields.ByName("sequence"), field(metadata, "sequence"))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.connection.Invoke(ctx, c.method("Ack"), request, c.message("AckResponse"))
}

func (c *client) method(name string) string {
	return fmt.Sprintf("/%s/%s", c.service.FullName(), name)
}

func field(message protoreflect.Message, name protoreflect.Name) protoreflect.Value {
	return message.Get(message.Descriptor().Fields().ByName(name))
}

func loadService(path string) (protoreflect.ServiceDescriptor, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(content, set); err != nil {
		return nil, fmt.Errorf("%s is no descriptor set: %w", path, err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	found, err := files.FindDescriptorByName("wgtwo.events.v0.EventsService")
	if errors.Is(err, protoregistry.NotFound) {
		return nil, fmt.Errorf("%s does not describe wgtwo.events.v0.EventsService", path)
	}
	if err != nil {
		return nil, err
	}
	service, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s: %s is no service", path, found.FullName())
	}
	return service, nil
}

// loadRoots returns nil, which means the system's roots, where no file is named.
func loadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return roots, nil
}
