package config

import "strings"

// Monitoring holds how the server is watched.
type Monitoring struct {
	MetricsPort int // 0: no metrics are served
	MetricsHost string

	// The values of OpenTelemetry's settings, in the order of telemetryRows. They are texts as
	// their specification defines them: what it does not know is ignored there, with a warning.
	telemetry [23]string
}

// Open reports whether metrics can be read from other machines.
func (m *Monitoring) Open() bool {
	return m.MetricsPort != 0 && !isLoopback(m.MetricsHost)
}

// Telemetry returns the settings of OpenTelemetry that are set, by their names.
func (m *Monitoring) Telemetry() map[string]string {
	set := map[string]string{}
	for i, row := range telemetryRows() {
		if m.telemetry[i] != "" {
			set[row.Name] = m.telemetry[i]
		}
	}
	return set
}

func monitoringRows() []Setting {
	return []Setting{
		{
			Name:    "METRICS_PORT",
			Default: "0",
			Doc: "The port of GET /metrics for Prometheus. 0 serves no metrics. It must not be open to " +
				"the internet.",
			place: func(c *Config) value { return number[int]{&c.Monitoring.MetricsPort, 0, 65535} },
		},
		{
			Name:    "METRICS_HOST",
			Default: "127.0.0.1",
			Doc: "The address that METRICS_PORT listens on; * is all interfaces, as in a container " +
				"whose network lets only Prometheus in.",
			place: func(c *Config) value {
				return text{&c.Monitoring.MetricsHost, "an address, a host name, or *"}
			},
		},
	}
}

// telemetryRows returns the settings of traces. Names and meanings are those of the OpenTelemetry
// specification.
func telemetryRows() []Setting {
	var all []Setting
	for i, row := range []struct {
		name, what, doc string
		secret          bool
	}{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "an http or https address", "Where traces are sent to " +
			"(OTLP over HTTP); /v1/traces is appended. Without it and the next one there are no traces.", true},
		{
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "an http or https address",
			"The same, but complete: nothing is appended.", true,
		},
		{"OTEL_EXPORTER_OTLP_HEADERS", "name=value,…", "Headers of the requests to the collector, such as " +
			"its key.", true},
		{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "name=value,…", "The same; it takes precedence.", true},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "How traces are sent. Only http/protobuf is " +
			"supported: with another one there are no traces, and a warning.", false},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", "The same; it takes precedence.", false},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "milliseconds", "The time of one request to the collector. " +
			"The default is 10000.", false},
		{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "milliseconds", "The same; it takes precedence.", false},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip or none", "Compresses what is sent. The default is none.", false},
		{"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip or none", "The same; it takes precedence.", false},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "a PEM file", "The authority of the collector's certificate, " +
			"if the system does not know it.", false},
		{"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "a PEM file", "The same; it takes precedence.", false},
		{"OTEL_TRACES_EXPORTER", "otlp or none", "none makes no traces. The default is otlp.", false},
		{
			"OTEL_TRACES_SAMPLER", "always_on, always_off, traceidratio, or one of them after parentbased_",
			"Which requests are traced. The default is parentbased_always_on. The decision of a caller " +
				"counts only if it is in TRUSTED_PROXIES.", false,
		},
		{"OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", "The share of requests of traceidratio, such " +
			"as 0.01. The default is 1.", false},
		{"OTEL_SERVICE_NAME", "a text", "The name of this server in traces. The default is gatehouse.", false},
		{"OTEL_RESOURCE_ATTRIBUTES", "name=value,…", "Further facts about this server in traces.", false},
		{"OTEL_SDK_DISABLED", "true or false", "true makes no traces.", false},
		{"OTEL_PROPAGATORS", "tracecontext or none", "Whether traceparent is read and sent. baggage is " +
			"never passed on. The default is tracecontext.", false},
		{"OTEL_BSP_SCHEDULE_DELAY", "milliseconds", "The longest time until spans are sent. The default " +
			"is 5000.", false},
		{"OTEL_BSP_EXPORT_TIMEOUT", "milliseconds", "The time of one export with its repetitions. The " +
			"default is 30000.", false},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "a number", "Spans that may wait; more are dropped and counted. The " +
			"default is 2048.", false},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "a number", "Spans of one request to the collector. The " +
			"default is 512.", false},
	} {
		all = append(all, Setting{
			Name:   row.name,
			Doc:    row.doc,
			Secret: row.secret,
			path:   strings.HasSuffix(row.name, "CERTIFICATE"),
			place: func(c *Config) value {
				return text{&c.Monitoring.telemetry[i], row.what}
			},
		})
	}
	return all
}
