package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"wgtwo-pipeline/benchmarks/wire"
)

// eventTypes is how many values the contract's EventType has beside UNSPECIFIED.
const eventTypes = 11

// variants is how many different bodies of each type are encoded ahead: enough that columns hold many values, few
// enough to stay in tens of megabytes.
const variants = 4096

// bodies are events but for metadata and timestamp, by type (the EventType's number) and variant.
type bodies [eventTypes + 1][variants][]byte

// encodeBodies makes the same bodies on every call.
func encodeBodies() *bodies {
	made := &bodies{}
	random := rand.New(rand.NewPCG(2, 2))
	for kind := 1; kind <= eventTypes; kind++ {
		for variant := range variants {
			made[kind][variant] = encodeBody(kind, random)
		}
	}
	return made
}

// encodeEvent returns a SubscribeEventsResponse in a buffer of its own, since gRPC sends it after the call returns.
func encodeEvent(sequence uint64, inbox string, at time.Time, body []byte) []byte {
	metadata := make([]byte, 0, 64)
	metadata = wire.AppendNumber(metadata, 1, sequence)
	metadata = wire.AppendBytes(metadata, 3, inbox)

	timestamp := make([]byte, 0, 16)
	timestamp = wire.AppendNumber(timestamp, 1, uint64(at.Unix()))
	if nanos := at.Nanosecond(); nanos != 0 {
		timestamp = wire.AppendNumber(timestamp, 2, uint64(nanos))
	}

	size := protowire.SizeBytes(len(metadata)) + protowire.SizeBytes(len(timestamp)) + 2 + len(body)
	response := make([]byte, 0, size+5)
	response = protowire.AppendTag(response, 1, protowire.BytesType)
	response = protowire.AppendVarint(response, uint64(size))
	response = wire.AppendBytes(response, 1, metadata)
	response = wire.AppendBytes(response, 2, timestamp)
	return append(response, body...)
}

// oneofField is the number in Event of each EventType's payload; they are not in the same order.
var oneofField = [eventTypes + 1]protowire.Number{
	1: 4, 2: 5, 3: 6, 4: 7, 5: 8, 6: 9, 7: 10, 8: 11, 9: 13, 10: 14, 11: 15,
}

func encodeBody(kind int, random *rand.Rand) []byte {
	from, to := e164(random), e164(random)
	if kind == 8 { // revokes name nobody else's number: no event here asks for another to be erased
		from = text(fmt.Sprintf("+478888%04d", random.IntN(1e4)))
	}
	var payload []byte
	switch kind {
	case 1: // VoiceEvent
		payload = wire.AppendBytes(payload, 1, identifier(random))
		payload = wire.AppendNumber(payload, 2, 1+random.Uint64N(5))
		payload = wire.AppendBytes(payload, 3, from)
		payload = wire.AppendBytes(payload, 4, to)
	case 2: // VoicemailEvent
		payload = wire.AppendBytes(payload, 1, identifier(random))
		payload = wire.AppendNumber(payload, 2, 1)
		payload = wire.AppendBytes(payload, 3, from)
		payload = wire.AppendBytes(payload, 4, to)
	case 3: // LocationUpdateEvent
		payload = wire.AppendBytes(payload, 2, from)
		payload = wire.AppendBytes(payload, 3, locations(random))
		payload = wire.AppendBytes(payload, 4, locations(random))
	case 4: // CountryChangeEvent
		payload = wire.AppendBytes(payload, 2, from)
		payload = wire.AppendBytes(payload, 3, country(random))
		payload = wire.AppendBytes(payload, 4, country(random))
	case 5: // TokenAuditEvent
		payload = wire.AppendNumber(payload, 1, 1+random.Uint64N(3))
		changed := wire.AppendBytes(nil, 1, operatorToken(random))
		payload = wire.AppendBytes(payload, 2, wire.AppendBytes(changed, 2, operatorToken(random)))
	case 6: // SmsEvent
		payload = wire.AppendBytes(payload, 1, identifier(random))
		payload = wire.AppendBytes(payload, 2, from)
		payload = wire.AppendBytes(payload, 5, to)
		payload = wire.AppendNumber(payload, 8, 1+random.Uint64N(2))
		payload = wire.AppendBytes(payload, 9, fmt.Sprintf("Your code is %06d.", random.IntN(1e6)))
		payload = wire.AppendBytes(payload, 10, identifier(random))
	case 7: // SmsDeliveryReportEvent
		payload = wire.AppendBytes(payload, 1, identifier(random))
		payload = wire.AppendBytes(payload, 2, from)
		payload = wire.AppendBytes(payload, 5, to)
		payload = wire.AppendNumber(payload, 8, 1+random.Uint64N(2))
		payload = wire.AppendBytes(payload, 9, identifier(random))
		payload = wire.AppendNumber(payload, 10, 1+random.Uint64N(4))
	case 8: // ConsentRevokeEvent
		payload = wire.AppendBytes(payload, 1, from)
	case 9: // HandsetUpdateEvent
		payload = wire.AppendBytes(payload, 1, handset(random))
		payload = wire.AppendBytes(payload, 2, handset(random))
		payload = wire.AppendBytes(payload, 3, imsi(random))
		payload = wire.AppendBytes(payload, 4, from)
	case 10: // FirstAttachmentEvent
		payload = wire.AppendBytes(payload, 1, from)
		payload = wire.AppendBytes(payload, 2, imsi(random))
	case 11: // PeriodicCountryEvent
		payload = wire.AppendBytes(payload, 1, from)
		payload = wire.AppendBytes(payload, 2, imsi(random))
		payload = wire.AppendBytes(payload, 3, country(random))
	}
	body := wire.AppendBytes(nil, 3, "service-"+identifier(random)[:8])
	body = wire.AppendBytes(body, oneofField[kind], payload)
	owner := wire.AppendBytes(nil, 1, from)
	return wire.AppendBytes(body, 12, wire.AppendBytes(owner, 2, identifier(random)))
}

// text encodes a message whose only field is string 1, such as PhoneNumber, Imsi or GlobalTitle.
func text(value string) []byte { return wire.AppendBytes(nil, 1, value) }

func e164(random *rand.Rand) []byte { return text(fmt.Sprintf("+479999%04d", random.IntN(1e4))) }

func imsi(random *rand.Rand) []byte { return text(fmt.Sprintf("24201%010d", random.Int64N(1e10))) }

func identifier(random *rand.Rand) string {
	high, low := random.Uint64(), random.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", high>>32, high>>16&0xffff, high&0xffff, low>>48, low&0xffffffffffff)
}

func country(random *rand.Rand) []byte {
	countries := [...][2]string{{"NO", "Norway"}, {"SE", "Sweden"}, {"DK", "Denmark"}, {"GB", "United Kingdom"}}
	picked := countries[random.IntN(len(countries))]
	return wire.AppendBytes(text(picked[0]), 2, picked[1])
}

func handset(random *rand.Rand) []byte {
	imeiSv := text(fmt.Sprintf("35%012d", random.Int64N(1e12)))
	return wire.AppendBytes(nil, 1, wire.AppendBytes(imeiSv, 2, fmt.Sprintf("%02d", random.IntN(100))))
}

func locations(random *rand.Rand) []byte {
	encoded := wire.AppendBytes(nil, 1, text(fmt.Sprintf("4790000%03d", random.IntN(1000))))
	encoded = wire.AppendBytes(encoded, 2, text(fmt.Sprintf("4790001%03d", random.IntN(1000))))
	return wire.AppendBytes(encoded, 3, text(fmt.Sprintf("4790002%03d", random.IntN(1000))))
}

func operatorToken(random *rand.Rand) []byte {
	encoded := wire.AppendBytes(text(identifier(random)), 2, "reporting")
	return wire.AppendBytes(encoded, 3, "events.sms.subscribe")
}
