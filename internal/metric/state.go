package metric

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what a server knows of itself and of what it depends on.
type State struct {
	ready       prometheus.Gauge
	redis       *prometheus.GaugeVec
	outages     prometheus.Counter
	keyCreated  *prometheus.GaugeVec
	keyRotation *prometheus.GaugeVec
	certificate *prometheus.GaugeVec
	deliveries  *prometheus.GaugeVec
	oldest      prometheus.Gauge
	sinks       *prometheus.GaugeVec
	checkpoint  prometheus.Gauge
	revocations prometheus.Gauge
	sequence    prometheus.Gauge
	lag         prometheus.Histogram
	sampled     prometheus.Gauge

	knowledge atomic.Pointer[func() time.Duration]
}

func newState(m *Metrics, b Build) *State {
	s := &State{
		ready: m.gauge("gatehouse_ready", "1 while /readyz answers 200."),
		redis: m.gauges("gatehouse_redis_up",
			"1 while Redis answers, 0 while this server counts on its own. Missing without REDIS_URL."),
		outages: m.counter("gatehouse_redis_outages_total", "Times that Redis stopped answering."),
		keyCreated: m.gauges("gatehouse_signing_key_created_timestamp_seconds",
			"When the key that signs was made, by algorithm.", "algorithm"),
		keyRotation: m.gauges("gatehouse_signing_key_rotation_timestamp_seconds",
			"When the next key of the algorithm begins to sign. Missing while no rotation is under way.",
			"algorithm"),
		certificate: m.gauges("gatehouse_certificate_expiry_timestamp_seconds",
			"When a TLS certificate of this server expires, by where it comes from.", "source"),
		deliveries: m.gauges("gatehouse_outbox_deliveries",
			"Messages and requests in the outbox, by state: queued, or dead (given up on, less than the "+
				"time that they are kept).", "state"),
		oldest: m.gauge("gatehouse_outbox_oldest_seconds",
			"Age of the oldest delivery that is queued; 0 if there is none."),
		sinks: m.gauges("gatehouse_audit_sink_failures",
			"Attempts in a row that failed to deliver the audit log, by the name of the log server; "+
				"webhooks are one.", "sink"),
		checkpoint: m.gauge("gatehouse_audit_checkpoint_failing_seconds",
			"Time since when no checkpoint of the audit log has reached AUDIT_CHECKPOINT_URL; 0 if the last one did."),
		revocations: m.gauge("gatehouse_revocations",
			"Revocations in force in the memory of this server."),
		sequence: m.gauge("gatehouse_revocation_sequence",
			"Number of the newest revocation that this server has read. Servers of one database differ by "+
				"what one of them does not know yet."),
		lag: m.histogram("gatehouse_revocation_lag_seconds",
			"Time from a revocation, at any server, until this server enforces it.",
			[]float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}),
		sampled: m.gauge("gatehouse_sampled_timestamp_seconds",
			"When the values that are read from the database now and then were last read."),
	}
	m.gaugeFunc("gatehouse_revocation_knowledge_age_seconds",
		"Time since this server last compared its memory with the database. Until then, a revocation by "+
			"another server may be unknown to it.",
		func() float64 {
			if f := s.knowledge.Load(); f != nil {
				return (*f)().Seconds()
			}
			return 0
		})
	m.gauges("gatehouse_build_info", "Always 1; the labels say which program runs.",
		"version", "go_version", "database").WithLabelValues(b.Version, b.GoVersion, b.Engine).Set(1)
	return s
}

// Knowledge sets the function that returns how old the server's knowledge of revocations is.
func (s *State) Knowledge(age func() time.Duration) { s.knowledge.Store(&age) }

// Ready sets whether the server is ready.
func (s *State) Ready(yes bool) { s.ready.Set(number(yes)) }

// Redis sets whether Redis answers.
func (s *State) Redis(up bool) { s.redis.WithLabelValues().Set(number(up)) }

// RedisOutage counts an outage of Redis.
func (s *State) RedisOutage() { s.outages.Inc() }

// Lag counts a revocation that is in force now, so long after it was made.
func (s *State) Lag(took time.Duration) { s.lag.Observe(max(took, 0).Seconds()) }

// A Key is a key that signs, or the next one of its algorithm.
type Key struct {
	Algorithm string
	Created   time.Time
	Next      time.Time // zero: no other key waits to sign
}

// Keys sets the signing keys.
func (s *State) Keys(all []Key) {
	s.keyCreated.Reset()
	s.keyRotation.Reset()
	for _, k := range all {
		if !k.Created.IsZero() {
			s.keyCreated.WithLabelValues(k.Algorithm).Set(seconds(k.Created))
		}
		if !k.Next.IsZero() {
			s.keyRotation.WithLabelValues(k.Algorithm).Set(seconds(k.Next))
		}
	}
}

// Certificate sets when a certificate expires.
func (s *State) Certificate(source string, expires time.Time) {
	s.certificate.WithLabelValues(source).Set(seconds(expires))
}

// Outbox is the state of the outbox.
type Outbox struct {
	Queued, Dead int
	Oldest       time.Duration
}

// Outbox sets the state of the outbox.
func (s *State) Outbox(o Outbox) {
	s.deliveries.WithLabelValues("queued").Set(float64(o.Queued))
	s.deliveries.WithLabelValues("dead").Set(float64(o.Dead))
	s.oldest.Set(max(o.Oldest, 0).Seconds())
}

// Sinks sets the failures in a row, by the name of the log server.
func (s *State) Sinks(failures map[string]int) {
	s.sinks.Reset()
	for name, n := range failures {
		s.sinks.WithLabelValues(name).Set(float64(n))
	}
}

// CheckpointFailing sets for how long no checkpoint has reached AUDIT_CHECKPOINT_URL.
func (s *State) CheckpointFailing(d time.Duration) { s.checkpoint.Set(max(d, 0).Seconds()) }

// Revocations sets what is known of the revocation log.
func (s *State) Revocations(inForce int, sequence int64) {
	s.revocations.Set(float64(inForce))
	s.sequence.Set(float64(sequence))
}

// Sampled sets when the state was read.
func (s *State) Sampled(at time.Time) { s.sampled.Set(seconds(at)) }

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Jobs measures the periodic work.
type Jobs struct {
	runs *prometheus.CounterVec
	last *prometheus.GaugeVec
}

func newJobs(m *Metrics) *Jobs {
	return &Jobs{
		runs: m.counters("gatehouse_job_runs_total",
			"Runs of periodic work on this server, by name and outcome (success, error). One of the servers "+
				"runs each.", "job_name", "outcome"),
		last: m.gauges("gatehouse_job_last_success_timestamp_seconds",
			"When this server last ran a job with success. Compare the newest of all servers.", "job_name"),
	}
}

// Ran counts a run of a job.
func (j *Jobs) Ran(job string, err error, at time.Time) {
	if err != nil {
		j.runs.WithLabelValues(job, outcomeError).Inc()
		return
	}
	j.runs.WithLabelValues(job, success).Inc()
	j.last.WithLabelValues(job).Set(seconds(at))
}

// Logs counts lines of the log.
type Logs struct{ warn, err prometheus.Counter }

func newLogs(m *Metrics) *Logs {
	c := m.counters("gatehouse_log_messages_total",
		"Lines of the log that ask for attention, by level: warn, error.", "level")
	return &Logs{warn: c.WithLabelValues("warn"), err: c.WithLabelValues("error")}
}

// Warn counts a warning.
func (l *Logs) Warn() { l.warn.Inc() }

// Error counts an error.
func (l *Logs) Error() { l.err.Inc() }

// Traces measures the export of traces.
type Traces struct{ exported, dropped, failed prometheus.Counter }

func newTraces(m *Metrics) *Traces {
	c := m.counters("gatehouse_trace_spans_total",
		"Spans of traces, by outcome: exported, dropped (the queue was full) or failed (the collector did "+
			"not take them).", "outcome")
	return &Traces{
		exported: c.WithLabelValues("exported"),
		dropped:  c.WithLabelValues("dropped"),
		failed:   c.WithLabelValues("failed"),
	}
}

// Exported counts spans that the collector took.
func (t *Traces) Exported(n int) { t.exported.Add(float64(n)) }

// Dropped counts spans for which the queue had no room.
func (t *Traces) Dropped(n int) { t.dropped.Add(float64(n)) }

// Failed counts spans that the collector did not take.
func (t *Traces) Failed(n int) { t.failed.Add(float64(n)) }
