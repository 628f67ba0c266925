package trace

import (
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of the fields are those of opentelemetry/proto/trace/v1/trace.proto and the messages
// that it uses. The generated code for them would bring gRPC into the program.

// encode returns an ExportTraceServiceRequest.
func encode(resource []attribute.KeyValue, name, version string, spans []sdktrace.ReadOnlySpan) []byte {
	var res, sc, list []byte
	for _, a := range resource {
		res = message(res, 1, keyValue(a))
	}
	sc = text(sc, 1, name)
	sc = text(sc, 2, version)
	list = message(list, 1, sc)
	for _, s := range spans {
		list = message(list, 2, span(s))
	}
	var all []byte
	all = message(all, 1, res)
	all = message(all, 2, list)
	return message(nil, 1, all)
}

func span(s sdktrace.ReadOnlySpan) (b []byte) {
	of := s.SpanContext()
	trace, id := of.TraceID(), of.SpanID()
	b = message(b, 1, trace[:])
	b = message(b, 2, id[:])
	b = text(b, 3, of.TraceState().String())
	if p := s.Parent(); p.SpanID().IsValid() {
		id := p.SpanID()
		b = message(b, 4, id[:])
	}
	b = text(b, 5, s.Name())
	b = number(b, 6, uint64(s.SpanKind()))
	b = moment(b, 7, s.StartTime())
	b = moment(b, 8, s.EndTime())
	for _, a := range s.Attributes() {
		b = message(b, 9, keyValue(a))
	}
	b = number(b, 10, uint64(s.DroppedAttributes()))
	if s.Status().Code == codes.Error {
		b = message(b, 15, number(nil, 3, 2)) // STATUS_CODE_ERROR
	}
	flags := uint32(of.TraceFlags()) | 0x100 // it is known whether the parent is remote
	if s.Parent().IsRemote() {
		flags |= 0x200
	}
	b = protowire.AppendTag(b, 16, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, flags)
}

func keyValue(a attribute.KeyValue) []byte {
	var v []byte
	switch a.Value.Type() {
	case attribute.BOOL:
		v = protowire.AppendTag(v, 2, protowire.VarintType)
		v = protowire.AppendVarint(v, protowire.EncodeBool(a.Value.AsBool()))
	case attribute.INT64:
		v = protowire.AppendTag(v, 3, protowire.VarintType)
		v = protowire.AppendVarint(v, uint64(a.Value.AsInt64()))
	case attribute.FLOAT64:
		v = protowire.AppendTag(v, 4, protowire.Fixed64Type)
		v = protowire.AppendFixed64(v, math.Float64bits(a.Value.AsFloat64()))
	default:
		v = message(v, 1, []byte(a.Value.AsString())) // Span has no other kinds
	}
	return message(text(nil, 1, string(a.Key)), 2, v)
}

func message(b []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
}

// text appends a text that is not empty.
func text(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// number appends a number that is not zero.
func number(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func moment(b []byte, field protowire.Number, t time.Time) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), uint64(t.UnixNano()))
}
